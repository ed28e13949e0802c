"""AppArmor profile names and SELinux labels; loading and relabelling happen elsewhere."""

from oci.generate.inputs import (
    BadContainer,
    ContainerInput,
    Defaults,
    HostView,
    ProfileType,
    SecurityContext,
    SecurityProfile,
    SelinuxOptions,
)

_LOCALHOST = "localhost/"

# What requests with SELinux options leave open, as policies have it for containers.
_PROCESS_LABEL = "system_u:system_r:container_t:s0"
_FILES = ("object_r", "container_file_t")


def apparmor_profile(security: SecurityContext, defaults: Defaults, host: HostView) -> str:
    """The profile's name, "" for none. Privileged containers have none.

    Raises:
        BadContainer: a named profile on a host without AppArmor, or a text that names no profile.
    """
    profile = security.apparmor or _from_text(security.apparmor_profile)
    if profile.type is ProfileType.LOCALHOST:
        name = profile.localhost_ref.removeprefix(_LOCALHOST)
        if not name:
            raise BadContainer("apparmor: a Localhost profile needs the name of a loaded profile")
        if not host.apparmor:
            raise BadContainer(f"apparmor: profile {name!r} is asked for, but this host has no AppArmor")
        return "" if security.privileged else name
    if profile.type is ProfileType.UNCONFINED or security.privileged or not host.apparmor:
        return ""
    return "" if defaults.apparmor_profile == "unconfined" else defaults.apparmor_profile


def _from_text(text: str) -> SecurityProfile:
    """The deprecated field: "", "runtime/default", "unconfined" or "localhost/NAME"."""
    if text in ("", "runtime/default"):
        return SecurityProfile(ProfileType.RUNTIME_DEFAULT)
    if text == "unconfined":
        return SecurityProfile(ProfileType.UNCONFINED)
    if text.startswith(_LOCALHOST):
        return SecurityProfile(ProfileType.LOCALHOST, text.removeprefix(_LOCALHOST))
    raise BadContainer(f"apparmor_profile: {text!r} is not runtime/default, unconfined or localhost/NAME")


def process_label(container: ContainerInput, host: HostView) -> str:
    """The pod's SELinux process label with what the container's options change; "" without SELinux."""
    if not host.selinux:
        return ""
    return process_label_of(container.security.selinux, container.sandbox.selinux_process_label)


def mount_label(container: ContainerInput, host: HostView) -> str:
    """The SELinux label for mounts that goes with the process label; "" without SELinux."""
    if not host.selinux:
        return ""
    if container.security.selinux is None:
        return container.sandbox.selinux_mount_label
    return mount_label_of(process_label(container, host))


def process_label_of(options: SelinuxOptions | None, base: str = "") -> str:
    """``base`` with what ``options`` change; "" where nothing asks for a label.

    Raises:
        BadContainer: a part that cannot be one.
    """
    wanted = (options.user, options.role, options.type, options.level) if options else ()
    if not any(wanted):
        return base
    for name, value in zip(("user", "role", "type"), wanted, strict=False):
        if ":" in value:
            raise BadContainer(f"selinux_options.{name}: {value!r} contains a colon")
    parts = (base or _PROCESS_LABEL).split(":", 3)
    return ":".join(new or old for new, old in zip(wanted, parts, strict=True))


def mount_label_of(label: str) -> str:
    """The label of the files that processes with ``label`` own; "" for ""."""
    if not label:
        return ""
    user, _, _, level = label.split(":", 3)
    return ":".join((user, *_FILES, level))
