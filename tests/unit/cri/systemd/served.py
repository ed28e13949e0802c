"""A bus on a socket of its own, with as much of D-Bus as a client notices."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from jeepney.low_level import HeaderFields, Message, MessageType, Parser
from jeepney.wrappers import DBusAddress, new_error, new_method_return, new_signal

Answer = Callable[["ServedBus", Message], list[Message]]


class ServedBus:
    """Answers method calls by ``answers``, by member; what is not there gets no answer."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Answer] = {
            "Hello": lambda _, call: [new_method_return(call, "s", (":1.7",))],
            "AddMatch": lambda _, call: [new_method_return(call)],
        }
        self.heard: list[str] = []
        self.greetings = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._serial = 1000

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.append(writer)
        self.greetings += 1
        await reader.readuntil(b"\r\n")
        writer.write(b"OK 0123456789abcdef0123456789abcdef\r\n")
        await reader.readuntil(b"BEGIN\r\n")
        parser = Parser()
        while data := await reader.read(4096):
            for message in parser.feed(data):
                self._take(message, writer)

    def _take(self, message: Message, writer: asyncio.StreamWriter) -> None:
        member = message.header.fields[HeaderFields.member]
        self.heard.append(member)
        answer = self.answers.get(member)
        for one in answer(self, message) if answer is not None else ():
            self._serial += 1
            writer.write(one.serialise(self._serial))

    def hang_up(self) -> None:
        """As a bus that restarts."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[ServedBus]:
    """A bus below ``directory``."""
    path = directory / "bus"
    bus = ServedBus(f"unix:path={path}")
    server = await asyncio.start_unix_server(bus.serve, path)
    yield bus
    bus.hang_up()
    server.close()
    await server.wait_closed()


def returns(signature: str, *body: object) -> Answer:
    return lambda _, call: [new_method_return(call, signature, body)]


def fails(name: str, words: str) -> Answer:
    return lambda _, call: [new_error(call, name, "s", (words,))]


def job(result: str, *, signal_first: bool = False) -> Answer:
    """A job's path, and the signal of its end, which a busy client may see in one piece."""
    path = "/org/freedesktop/systemd1/job/5"
    manager = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")

    def answer(_: ServedBus, call: Message) -> list[Message]:
        assert call.header.message_type is MessageType.method_call
        removed = new_signal(manager, "JobRemoved", "uoss", (5, path, "x.scope", result))
        messages = [new_method_return(call, "o", (path,)), removed]
        return messages[::-1] if signal_first else messages

    return answer
