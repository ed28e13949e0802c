"""A blocking connection to a bus (D-Bus specification), for programs that have no event loop.

One call at a time; signals that come meanwhile are kept for ``next_signal``.
"""

import os
import socket
import time
from collections import deque
from typing import Any

from host import dbus
from host.dbus import BusUnavailable, CallFailed, Message

DEFAULT_ADDRESS = "unix:path=/run/dbus/system_bus_socket"
_READ_BYTES = 65536
_LONGEST_LINE = 16384


def address_of(*, user: bool) -> str:
    """Where the system's bus is, or the user's own."""
    if not user:
        return os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or DEFAULT_ADDRESS
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus"


def socket_of(address: str) -> str:
    """The path of an address; an abstract one begins with NUL.

    Raises:
        BusUnavailable: it has none that a UNIX socket could be at.
    """
    for one in address.split(";"):
        transport, _, rest = one.partition(":")
        values = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
        if transport == "unix" and "path" in values:
            return values["path"]
        if transport == "unix" and "abstract" in values:
            return "\0" + values["abstract"]
    raise BusUnavailable(f"no UNIX socket in the address {address!r} of the bus")


class BlockingBus:
    """Connected and greeted when it is made; ``timeout_s`` is for each call, and for that."""

    def __init__(self, address: str, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._serial = 0
        self._buffer = b""
        self._signals: deque[Message] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._connect(address)
        except BaseException:
            self._socket.close()
            raise

    def _connect(self, address: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        try:
            self._wait_until(deadline)
            self._socket.connect(socket_of(address))
            identity = str(os.geteuid()).encode().hex()
            self._socket.sendall(f"\0AUTH EXTERNAL {identity}\r\n".encode())
            answer = self._line(deadline)
            if not answer.startswith(b"OK "):
                raise BusUnavailable(
                    f"the bus at {address} does not let us in: {answer.decode(errors='replace')}"
                )
            self._socket.sendall(b"BEGIN\r\n")
        except OSError as error:
            raise BusUnavailable(f"no bus at {address}: {error}") from error
        bus = "org.freedesktop.DBus"
        try:
            self.call(bus, "/org/freedesktop/DBus", bus, "Hello")
        except CallFailed as error:
            raise BusUnavailable(f"the bus at {address} does not let us in: {error}") from error

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
    ) -> tuple[Any, ...]:
        """Call a method; the answer's body.

        Raises:
            CallFailed: with the other side's words.
            BusUnavailable: the bus went away, or the answer took too long.
        """
        deadline = time.monotonic() + self._timeout_s
        self._serial += 1
        call = Message(
            dbus.METHOD_CALL, self._serial, body, signature, path, interface, member, destination=destination
        )
        try:
            self._wait_until(deadline)
            self._socket.sendall(call.encode())
        except OSError as error:
            raise BusUnavailable(f"the bus went away at {member}: {error}") from error
        while True:
            message = self._next(deadline, member)
            if message.kind == dbus.SIGNAL:
                self._signals.append(message)
            elif message.reply_serial == call.serial:
                return _body(message)

    def next_signal(self, timeout_s: float | None = None) -> Message:
        """The next signal that we have asked for.

        Raises:
            BusUnavailable: the bus went away, or none came in time.
        """
        deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        while not self._signals:
            message = self._next(deadline, "a signal")
            if message.kind == dbus.SIGNAL:
                self._signals.append(message)
        return self._signals.popleft()

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._socket.close()

    def _next(self, deadline: float, what: str) -> Message:
        try:
            self._fill(dbus.FIXED_HEADER, deadline)
            length = dbus.size(self._buffer[: dbus.FIXED_HEADER])
            self._fill(length, deadline)
            message, self._buffer = dbus.decode(self._buffer[:length]), self._buffer[length:]
        except TimeoutError:
            raise BusUnavailable(f"no answer to {what} within {self._timeout_s:g} s") from None
        except (OSError, dbus.BadMessage) as error:
            raise BusUnavailable(f"the bus went away at {what}: {error}") from error
        return message

    def _fill(self, count: int, deadline: float) -> None:
        while len(self._buffer) < count:
            self._wait_until(deadline)
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("it hung up")
            self._buffer += data

    def _line(self, deadline: float) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise ConnectionResetError("an endless line")
            self._fill(len(self._buffer) + 1, deadline)
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _wait_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _body(message: Message) -> tuple[Any, ...]:
    if message.kind == dbus.ERROR:
        raise CallFailed(message.error_name, str(message.body[0]) if message.body else "")
    return message.body
