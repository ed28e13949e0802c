"""The environment of a container's process (config.md, process.env)."""

from collections.abc import Iterable

from oci.generate.inputs import BadContainer, ContainerInput

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(container: ContainerInput) -> list[str]:
    """``NAME=value`` entries, each name once: image < configured defaults < request.

    PATH, HOSTNAME, HOME and (with a terminal) TERM are filled in when nobody has set them.

    Raises:
        BadContainer: a name is empty or has "=" or NUL, or a value has NUL.
    """
    values: dict[str, str] = {"PATH": DEFAULT_PATH}
    if container.tty:
        values["TERM"] = "xterm"
    if container.sandbox.hostname:
        values["HOSTNAME"] = container.sandbox.hostname
    values |= _parsed(container.image.env)
    values |= _parsed(container.defaults.env)
    for name, value in container.env:
        values[_checked(name, value)] = value
    values.setdefault("HOME", container.identity.home)
    return [f"{name}={value}" for name, value in values.items()]


def _parsed(entries: Iterable[str]) -> dict[str, str]:
    """Entries without "=" name nothing to set and are left out, as other runtimes do."""
    pairs = (entry.split("=", 1) for entry in entries if "=" in entry)
    return {_checked(name, value): value for name, value in pairs}


def _checked(name: str, value: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise BadContainer(f"envs: {name!r} is not a name for an environment variable")
    if "\0" in value:
        raise BadContainer(f"envs: the value of {name!r} contains a NUL byte")
    return name
