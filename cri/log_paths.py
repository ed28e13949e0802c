"""Where in a pod's log directory a container's log lies."""

from pathlib import Path

from api.errors import InvalidArgument


class LogPathLeadsOut(InvalidArgument):
    """A container's log is to lie outside its pod's log directory."""


def below(directory: Path, log_path: str) -> Path:
    """A container's log below its pod's directory, as the kubelet joins them.

    Raises:
        LogPathLeadsOut: by way of "..".
    """
    relative = log_path.lstrip("/")
    if ".." in relative.split("/"):
        raise LogPathLeadsOut(f"log_path {log_path!r} leads out of the log directory {directory}")
    return directory / relative
