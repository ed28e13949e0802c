"""A connection to the system bus (D-Bus specification): calls with answers, and one kind of signal.

jeepney makes bytes of messages and messages of bytes; sockets and waiting are here. A connection that is
lost, as when the bus restarts, fails the calls that are under way; the next call makes another.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from itertools import count

from jeepney.auth import BEGIN, AuthenticationError, Authenticator
from jeepney.bus import get_connectable_addresses
from jeepney.low_level import HeaderFields, Message, MessageType, Parser
from jeepney.wrappers import DBusAddress, new_method_call

from host.dbus import BusUnavailable, CallFailed
from host.system_bus import address_of

log = logging.getLogger(__name__)

READ_BYTES = 65536

_THE_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")


class Connection:
    """One authenticated connection; made by ``connect``."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_signal: Callable[[str, tuple[object, ...]], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_signal = on_signal
        self._serials = count(1)
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._reading = asyncio.create_task(self._read(), name="system-bus")

    @property
    def lost(self) -> bool:
        """Whether it can no longer be used."""
        return self._reading.done()

    async def call(self, message: Message) -> tuple[object, ...]:
        """Send a method call; the answer's body.

        Raises:
            CallFailed: an error came back. BusUnavailable: the connection was lost.
        """
        serial = next(self._serials)
        with self._reply(serial) as reply:
            self._writer.write(message.serialise(serial))
            answer = await reply
        if answer.header.message_type is MessageType.error:
            words = str(answer.body[0]) if answer.body else ""
            raise CallFailed(str(answer.header.fields[HeaderFields.error_name]), words)
        return tuple(answer.body)

    @contextlib.contextmanager
    def _reply(self, serial: int) -> Iterator[asyncio.Future[Message]]:
        if self.lost:
            raise BusUnavailable("the connection to the system bus is lost")
        reply = self._replies[serial] = asyncio.get_running_loop().create_future()
        try:
            yield reply
        finally:
            del self._replies[serial]

    async def _read(self) -> None:
        """Take messages until the connection ends."""
        parser = Parser()
        try:
            while data := await self._reader.read(READ_BYTES):
                parser.add_data(data)
                while (message := parser.get_next_message()) is not None:
                    self._take(message)
        except Exception as error:  # what cannot be parsed ends the connection, too
            log.warning("the connection to the system bus failed: %s", error)
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(BusUnavailable("the system bus went away during a call"))
            self._writer.close()

    def _take(self, message: Message) -> None:
        fields = message.header.fields
        if message.header.message_type is MessageType.signal:
            self._on_signal(str(fields[HeaderFields.member]), tuple(message.body))
            return
        reply = self._replies.get(fields.get(HeaderFields.reply_serial, 0))
        if reply is not None and not reply.done():
            reply.set_result(message)

    async def close(self) -> None:
        """End it. Idempotent."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


async def connect(address: str, on_signal: Callable[[str, tuple[object, ...]], None]) -> Connection:
    """Connect, authenticate as this process' user and greet the bus.

    Raises:
        OSError, AuthenticationError, CallFailed: it does not let us in.
    """
    reader, writer = await asyncio.open_unix_connection(next(get_connectable_addresses(address)))
    try:
        talk = Authenticator()
        for line in talk:
            writer.write(line)
            data = await reader.read(READ_BYTES)
            if not data:
                raise ConnectionResetError("the bus hung up during authentication")
            talk.feed(data)
        writer.write(BEGIN)
    except BaseException:
        writer.close()
        raise
    connection = Connection(reader, writer, on_signal)
    try:
        await connection.call(new_method_call(_THE_BUS, "Hello"))
    except BaseException:
        await connection.close()
        raise
    return connection


class Bus:
    """The system bus, connected to at the first call and again after a loss.

    ``matches`` are the rules of the signals that ``on_signal`` gets, by member and body.
    """

    def __init__(
        self,
        matches: tuple[str, ...] = (),
        on_signal: Callable[[str, tuple[object, ...]], None] = lambda *_: None,
        *,
        address: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._matches = matches
        self._on_signal = on_signal
        self._address = address or address_of(user=False)
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self, target: DBusAddress, method: str, signature: str | None = None, body: tuple[object, ...] = ()
    ) -> tuple[object, ...]:
        """Call a method; the answer's body.

        Raises:
            CallFailed: with the other side's words.
            BusUnavailable: there is no bus, it went away, or the answer took too long.
        """
        message = new_method_call(target, method, signature, body)
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected()
                return await connection.call(message)
        except TimeoutError:
            raise BusUnavailable(f"no answer to {method} within {self._timeout_s:g} s") from None

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> Connection:
        try:
            connection = await connect(self._address, self._on_signal)
            for rule in self._matches:
                await connection.call(new_method_call(_THE_BUS, "AddMatch", "s", (rule,)))
        except (OSError, AuthenticationError, CallFailed) as error:
            raise BusUnavailable(f"no system bus at {self._address}: {error}") from error
        return connection

    async def close(self) -> None:
        """Disconnect. Idempotent."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
