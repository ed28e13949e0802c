"""Commands that are root's."""

import os

from api.errors import PermissionDenied


class NotRoot(PermissionDenied):
    """What is asked for is root's: namespaces, mounts, cgroups, and all state."""


def require_root(command: str, way_out: str) -> None:
    """
    Raises:
        NotRoot: somebody else runs the command.
    """
    if os.geteuid() != 0:
        raise NotRoot(f"podwright {command} must run as root: {way_out}")
