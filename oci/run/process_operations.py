"""Operations of the child that are about the process rather than its surroundings; see operations.py."""

from typing import NamedTuple


class SetHostname(NamedTuple):
    name: str


class SetDomainname(NamedTuple):
    name: str


class WriteSysctl(NamedTuple):
    """``file`` is below /proc/sys."""

    name: str
    file: str
    value: str


class SetUmask(NamedTuple):
    mask: int


class SetPersonality(NamedTuple):
    persona: int


class SetMemoryPolicy(NamedTuple):
    mode: int
    nodes: int


class SetAffinity(NamedTuple):
    """Run on these processors; none is all that there are."""

    processors: tuple[int, ...]


class ApparmorProfile(NamedTuple):
    name: str


class SelinuxLabel(NamedTuple):
    label: str


class NoNewPrivileges(NamedTuple):
    pass


class LoadSeccomp(NamedTuple):
    """Load the compiled filter of the profile; ``listens`` hands its listener to the parent."""

    flags: int
    listens: bool


class ChangeDirectory(NamedTuple):
    """The working directory; ``required`` raises where an earlier try may be refused."""

    path: str
    required: bool


class OwnStdio(NamedTuple):
    """Give descriptors 0 to 2 to the user, as far as that is our business."""

    uid: int


class SetGroups(NamedTuple):
    gids: tuple[int, ...]


class SetUser(NamedTuple):
    uid: int
    gid: int


class KeepCapabilities(NamedTuple):
    yes: bool


class LimitBoundingSet(NamedTuple):
    bits: int


class SetCapabilities(NamedTuple):
    effective: int
    permitted: int
    inheritable: int
    ambient: int


class FindProgram(NamedTuple):
    """Look the program up by the container's PATH; what cannot be executed is an error here."""

    name: str


class SetEnvironment(NamedTuple):
    """The environment, of which HOME is looked up for ``uid`` if it is missing."""

    entries: tuple[str, ...]
    uid: int


class ReportReady(NamedTuple):
    """Tell the parent; what it does then is the last before the wait."""


class AwaitStart(NamedTuple):
    """Wait for the byte that ``start`` writes."""


class AwaitParent(NamedTuple):
    """Wait for the parent's word to go on."""


class Execute(NamedTuple):
    arguments: tuple[str, ...]
