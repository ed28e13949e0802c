"""hooks of config.json, by the six points of the life cycle (config.md, POSIX-platform hooks)."""

import posixpath

from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.operations import Hook

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def read(spec: Table) -> dict[str, tuple[Hook, ...]]:
    """The hooks of each point.

    Raises:
        BadConfig: a hook without an absolute path.
    """
    table = spec.table("hooks")
    return {point: tuple(_hook(entry) for entry in table.tables(point)) for point in POINTS}


def _hook(entry: Table) -> Hook:
    path = entry.text("path")
    if not posixpath.isabs(path):
        raise BadConfig(f"{entry.name_of('path')}: hook path {path!r} is not absolute")
    timeout = entry.number("timeout")
    if "timeout" in entry and timeout <= 0:
        raise BadConfig(f"{entry.name_of('timeout')}: {timeout} is not above 0")
    env = entry.texts("env") if "env" in entry else None
    return Hook(path, entry.texts("args"), env, timeout)
