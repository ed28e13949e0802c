"""Documents to plan from."""

from typing import Any

from oci.run.document import Table


def document(**changes: Any) -> dict[str, Any]:
    """A plain configuration, with these keys in place of its own."""
    return {
        "ociVersion": "1.2.0",
        "process": {"args": ["sh"], "cwd": "/", "env": [], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
        **changes,
    }


def spec(**changes: Any) -> Table:
    return Table(document(**changes))


def linux(*namespaces: str, **more: Any) -> dict[str, Any]:
    return {"namespaces": [{"type": name} for name in namespaces], **more}
