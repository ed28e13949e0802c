"""AppArmor profile names and SELinux labels; loading and relabelling happen elsewhere."""

from oci.generate.inputs import (
    BadContainer,
    ContainerInput,
    Defaults,
    HostView,
    ProfileType,
    SecurityContext,
    SecurityProfile,
)

_LOCALHOST = "localhost/"


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
    base = container.sandbox.selinux_process_label
    if not host.selinux or not base:
        return ""
    options = container.security.selinux
    if options is None:
        return base
    parts = base.split(":", 3) + [""] * 4
    wanted = (options.user, options.role, options.type, options.level)
    chosen = [new or old for new, old in zip(wanted, parts, strict=False)]
    return ":".join(part for part in chosen if part)


def mount_label(container: ContainerInput, host: HostView) -> str:
    """The pod's SELinux label for mounts; "" without SELinux."""
    return container.sandbox.selinux_mount_label if host.selinux else ""
