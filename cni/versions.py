"""CNI specification versions that this build speaks, and how they compare."""

from cni.errors import NetworkConfigInvalid

SUPPORTED = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
DEFAULT = "0.1.0"  # what a configuration without cniVersion means (SPEC.md, "Configuration format")


def key(version: str) -> tuple[int, ...]:
    """A version as numbers; compare these, not the texts."""
    return tuple(int(part) for part in version.split("."))


def at_least(version: str, other: str) -> bool:
    """Whether ``version`` is ``other`` or newer."""
    return key(version) >= key(other)


def choose(version: str, versions: tuple[str, ...], where: str) -> str:
    """The version to speak: the newest of ``versions`` (key cniVersions) that we know, else ``version``.

    Raises:
        NetworkConfigInvalid: none of them is supported.
    """
    known = [candidate for candidate in (*versions, version) if candidate in SUPPORTED]
    if not known:
        raise NetworkConfigInvalid(
            f"{where}: cniVersion {version or DEFAULT!r} is not supported; use {', '.join(SUPPORTED[1:])}"
        )
    return max(known, key=key)
