"""What the configuration adds to every container, as spec generation takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from api.errors import InvalidArgument
from conf.schema import Config, RuntimeHandler
from conf.seccomp import default_profile, load_profile
from oci.generate.inputs import BadContainer, Defaults, Device, ProfileType, SecurityContext, Ulimit
from oci.generate.seccomp import chosen


class UnknownTimezone(InvalidArgument):
    """The configuration names a time zone that this host does not have."""


@dataclass(frozen=True, slots=True)
class HandlerDefaults:
    """The defaults of each handler with a table of its own ("" is the default handler), and of all others."""

    general: Defaults
    own: Mapping[str, Defaults]

    def of(self, handler: str) -> Defaults:
        """What holds for containers of this handler."""
        return self.own.get(handler, self.general)


def handler_defaults(config: Config, default_handler: str) -> HandlerDefaults:
    """Read at start and at a reload; blocks for the profiles' files.

    Raises:
        BadSeccompProfile: a configured profile cannot be used. UnknownTimezone: see there.
    """
    general = container_defaults(config)
    own = {name: _of_handler(general, table) for name, table in config.runtime.runtimes.items()}
    if default_handler in own:
        own[""] = own[default_handler]
    return HandlerDefaults(general, own)


def without_profiles(config: Config) -> Config:
    """The configuration as if it named no seccomp profile."""
    runtime = config.runtime
    tables = {name: replace(table, seccomp_profile=None) for name, table in runtime.runtimes.items()}
    return replace(config, runtime=replace(runtime, seccomp_profile=None, runtimes=tables))


def _of_handler(general: Defaults, table: RuntimeHandler) -> Defaults:
    path = table.seccomp_profile
    return replace(
        general,
        privileged_without_host_devices=table.privileged_without_host_devices,
        allowed_annotations=table.allowed_annotations,
        annotations=dict(table.default_annotations),
        seccomp_profile=general.seccomp_profile if path is None else load_profile(path),
    )


def container_defaults(config: Config) -> Defaults:
    """What holds for every handler.

    Raises:
        BadSeccompProfile: the configured profile cannot be used.
    """
    runtime = config.runtime
    return Defaults(
        env=tuple(f"{entry.name}={entry.value}" for entry in runtime.default_env),
        capabilities=runtime.default_capabilities,
        add_inheritable_capabilities=runtime.add_inheritable_capabilities,
        ulimits=tuple(Ulimit(limit.name, limit.soft, limit.hard) for limit in runtime.default_ulimits),
        pids_limit=max(0, runtime.pids_limit),
        devices=tuple(
            Device(str(rule.container_path), str(rule.host_path), rule.permissions)
            for rule in runtime.additional_devices
        ),
        device_ownership_from_security_context=runtime.device_ownership_from_security_context,
        read_only=runtime.read_only,
        seccomp_profile=_profile(runtime.seccomp_profile),
        apparmor_profile=runtime.apparmor_profile,
        timezone_file=_known_timezone(runtime.timezone),
    )


def _profile(path: Path | None) -> Mapping[str, object]:
    return default_profile() if path is None else load_profile(path)


def timezone_file(name: str) -> str:
    """Where the option's zone lies on this host; empty for none. "Local" may be written in any case."""
    if not name:
        return ""
    return "/etc/localtime" if name.lower() == "local" else f"/usr/share/zoneinfo/{name}"


def _known_timezone(name: str) -> str:
    file = timezone_file(name)
    outside = name.startswith("/") or ".." in name.split("/")
    if outside or (file and not Path(file).is_file()):
        raise UnknownTimezone(
            f'crio.runtime.timezone: there is no time zone "{name}" ({file} is no file): write "Local", '
            "or a name such as Europe/Berlin that is below /usr/share/zoneinfo"
        )
    return file


def with_localhost_profile(defaults: Defaults, security: SecurityContext) -> Defaults:
    """Beside the defaults the profile file that a request names: read for it alone, since it may change.

    Raises:
        BadSeccompProfile: the file cannot be used. BadContainer: the deprecated text names no profile.
    """
    profile = chosen(security)
    if profile.type is not ProfileType.LOCALHOST or security.privileged:
        return defaults
    path = profile.localhost_ref
    if not path.startswith("/") or ".." in path.split("/"):
        raise BadContainer(f"seccomp.localhost_ref: {path!r} is not an absolute path without '..'")
    return replace(defaults, localhost_seccomp={path: load_profile(Path(path))})
