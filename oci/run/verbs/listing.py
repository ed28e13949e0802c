"""state, list and ps: what is there, and nothing changed."""

import os
import pwd
import subprocess
from collections.abc import Sequence

from host.environment import DEFAULT_PATH
from oci.run.errors import NoSuchContainer
from oci.run.state import OCI_VERSION, Container, Place, ids
from oci.run.verbs.settings import Settings, cgroup_of, status_of

_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def state(settings: Settings, container_id: str) -> dict[str, object]:
    """The state document with runc's additions: rootfs, created, owner.

    Raises:
        NoSuchContainer: see there.
    """
    place = settings.place(container_id)
    return _document(place, place.load())


def _document(place: Place, container: Container) -> dict[str, object]:
    status = status_of(place, container)
    document: dict[str, object] = {
        "ociVersion": OCI_VERSION,
        "id": container.id,
        "pid": 0 if status == "stopped" else container.pid,
        "status": status,
        "bundle": container.bundle,
        "rootfs": container.rootfs,
        "created": container.created,
        "owner": _owner(place),
    }
    if container.annotations:
        document["annotations"] = dict(container.annotations)
    return document


def _owner(place: Place) -> str:
    try:
        return pwd.getpwuid(os.stat(place.directory).st_uid).pw_name
    except (KeyError, FileNotFoundError):
        return ""


def all_states(settings: Settings) -> list[dict[str, object]]:
    """The state of every container; one that goes meanwhile is left out."""
    found = []
    for name in ids(settings.root):
        try:
            found.append(state(settings, name))
        except NoSuchContainer:
            continue
    return found


def table(states: Sequence[dict[str, object]]) -> str:
    """The states in columns."""
    rows = [_COLUMNS, *(tuple(str(one[name.lower()]) for name in _COLUMNS) for one in states)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_COLUMNS))]
    return "".join(
        "   ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def pids(settings: Settings, container_id: str) -> list[int]:
    """The host's numbers of all processes of a container.

    Raises:
        NoSuchContainer: see there.
    """
    return cgroup_of(settings.place(container_id).load()).pids()


def process_table(numbers: Sequence[int], arguments: Sequence[str]) -> str:
    """Those lines of ps(1) that are about these processes, and its heading."""
    command = ["ps", *(arguments or ("-ef",))]
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PATH": DEFAULT_PATH}
    ).stdout
    heading, *lines = text.splitlines()
    column = heading.split().index("PID")
    wanted = {str(number) for number in numbers}
    kept = [line for line in lines if line.split(None, column + 1)[column : column + 1][0] in wanted]
    return "".join(f"{line}\n" for line in (heading, *kept))
