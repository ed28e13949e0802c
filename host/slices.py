"""Names of systemd slices and scopes, and where their cgroups lie (systemd.slice(5), systemd.unit(5)).

The name of a slice is its path: "a-b.slice" lies in "a.slice", and a process' cgroup in it is
"/a.slice/a-b.slice/x.scope".
"""

import re

SLICE = ".slice"
SCOPE = ".scope"
UNIT_NAME_LIMIT = 255
_PART = re.compile(r"[A-Za-z0-9:_.\\]+")


class BadSlice(ValueError):
    """Not the name of a slice that processes can be put into."""


def levels(name: str) -> list[str]:
    """The slices from the top down to ``name``: "a-b.slice" has "a.slice" and "a-b.slice".

    Raises:
        BadSlice: ``name`` is none, or the root slice.
    """
    if not name.endswith(SLICE) or len(name) > UNIT_NAME_LIMIT:
        raise BadSlice(f"{name!r} is not the name of a slice")
    parts = name.removesuffix(SLICE).split("-")
    if not all(_PART.fullmatch(part) for part in parts):
        raise BadSlice(f"{name!r} is not the name of a slice")
    return ["-".join(parts[: number + 1]) + SLICE for number in range(len(parts))]


def path_of(name: str) -> str:
    """The cgroup of a slice: "/a.slice/a-b.slice" of "a-b.slice".

    Raises:
        BadSlice: see ``levels``.
    """
    return "/" + "/".join(levels(name))


def unit_of(path: str) -> str | None:
    """The scope or slice whose cgroup ``path`` is; None for a cgroup that is no such unit's."""
    name = path.rstrip("/").rpartition("/")[2]
    return name if name.endswith((SLICE, SCOPE)) else None
