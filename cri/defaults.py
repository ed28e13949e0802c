"""What the configuration adds to every container, as spec generation takes it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from conf.schema import Config
from conf.seccomp import default_profile, load_profile
from oci.generate.inputs import Defaults, Device, ProfileType, SecurityContext, Ulimit


def container_defaults(config: Config) -> Defaults:
    """Read once at start.

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
        read_only=runtime.read_only,
        seccomp_profile=_profile(runtime.seccomp_profile),
        apparmor_profile=runtime.apparmor_profile,
        timezone_file=_timezone_file(runtime.timezone),
    )


def _profile(path: Path | None) -> Mapping[str, object]:
    return default_profile() if path is None else load_profile(path)


def _timezone_file(name: str) -> str:
    if not name:
        return ""
    return "/etc/localtime" if name == "Local" else f"/usr/share/zoneinfo/{name}"


def with_localhost_profile(defaults: Defaults, security: SecurityContext) -> Defaults:
    """Beside the defaults the profile file that a request names: read for it alone, since it may change.

    Raises:
        BadSeccompProfile: the file cannot be used.
    """
    profile = security.seccomp
    if profile is None or profile.type is not ProfileType.LOCALHOST or security.privileged:
        return defaults
    path = profile.localhost_ref
    return replace(defaults, localhost_seccomp={path: load_profile(Path(path))})
