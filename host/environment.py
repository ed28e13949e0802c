"""The environment of every program that Podwright starts: little, and nothing of its own.

What the daemon was started with may hold secrets (a proxy's password, a cloud's keys) and addresses that are
its alone (NOTIFY_SOCKET, LISTEN_FDS). Runtimes, network plugins and helpers have no use for them.
"""

from collections.abc import Mapping

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def of_helpers(own: Mapping[str, str]) -> dict[str, str]:
    """``own``, the environment of this process, reduced to PATH; texts of programs are plain English."""
    return {"PATH": own.get("PATH") or DEFAULT_PATH, "LC_ALL": "C.UTF-8"}
