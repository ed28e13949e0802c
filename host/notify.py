"""Telling systemd how the daemon is (sd_notify(3)): one datagram to the socket that NOTIFY_SOCKET names."""

import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str]) -> bool:
    """Send ``state`` (``READY=1``, ``STOPPING=1``, ``STATUS=…``); False when nobody asked to be told.

    Raises:
        OSError: the socket that was named does not take it.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    # A leading @ stands for the NUL byte of an abstract address.
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
        client.sendto(state.encode(), target)
    return True
