"""storage/registry/pieces: several ranges at once where a registry can, one connection where it cannot."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.digest import Digest
from storage.manifest import Descriptor
from storage.registry.client import Client
from storage.registry.options import ClientOptions
from storage.registry.registries_conf import PullSource
from tests.harness.until import until

DATA = bytes(range(256)) * 400  # of which a piece is 8,000 bytes, and the first 1,000
OPTIONS = ClientOptions(attempts=3, backoff_s=0.0, connections=4, piece_bytes=8000, pieces_from_bytes=10_000)
Say = Callable[[int, int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]]


@dataclass
class Ranged:
    """A registry that gives ranges; ``say`` may have it answer otherwise."""

    say: Say = lambda _start, _end, headers, body: (206, headers, body)
    asked: list[tuple[int, int | None]] = field(default_factory=list)
    open: int = 0
    most: int = 0
    cut: int = 0  # connections that are still to be cut in the middle
    gate: asyncio.Event | None = None

    async def blob(self, request: web.Request) -> web.StreamResponse:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "bytes=0-"))
        assert found is not None
        start, last = int(found[1]), int(found[2]) if found[2] else None
        self.asked.append((start, last))
        if last is None:
            return web.Response(status=206 if start else 200, body=DATA[start:])
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if self.gate is not None and start:
                await self.gate.wait()
            body = DATA[start : last + 1]
            headers = {"Content-Range": f"bytes {start}-{last}/{len(DATA)}", "ETag": '"a"'}
            if self.cut and start:
                self.cut -= 1
                return await self._cut(request, headers, body)
            status, headers, body = self.say(start, last, headers, body)
            return web.Response(status=status, headers=headers, body=body)
        finally:
            self.open -= 1

    async def _cut(self, request: web.Request, headers: dict[str, str], body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[:500])
        assert request.transport is not None
        request.transport.close()
        return response

    async def pulled(self, options: ClientOptions = OPTIONS) -> bytes:
        application = web.Application()
        application.router.add_get("/v2/", _answer)
        application.router.add_get("/v2/{rest:.+}", self.blob)
        async with TestServer(application) as server:
            source = PullSource(f"{server.host}:{server.port}", "a/b", insecure=True, is_mirror=False)
            async with Client(source, None, options) as client:
                descriptor = Descriptor("", Digest.of(DATA), len(DATA))
                return b"".join([chunk async for chunk in client.blob(descriptor)])


async def _answer(_: web.Request) -> web.Response:
    return web.Response()


async def test_a_large_blob_comes_in_ranges_a_few_at_once_each_asked_for_once() -> None:
    registry = Ranged(gate=asyncio.Event())
    pulling = asyncio.create_task(registry.pulled())
    await until(lambda: pulling.done() or registry.open == OPTIONS.connections)
    assert registry.gate is not None
    registry.gate.set()
    assert await pulling == DATA
    assert registry.most == OPTIONS.connections
    assert sorted(registry.asked) == [
        (0, 999),
        *((start, min(start + 8000, len(DATA)) - 1) for start in range(1000, len(DATA), 8000)),
    ]


@pytest.mark.parametrize(
    "options", [replace(OPTIONS, connections=1), replace(OPTIONS, pieces_from_bytes=len(DATA) + 1)]
)
async def test_a_small_blob_or_one_connection_asks_for_no_range(options: ClientOptions) -> None:
    registry = Ranged()
    assert await registry.pulled(options) == DATA
    assert registry.asked == [(0, None)]


@pytest.mark.parametrize(
    "say",
    [
        lambda _s, _e, _h, _b: (200, {}, DATA),
        lambda _s, _e, headers, body: (200, headers, body),
        lambda _s, _e, _h, body: (206, {}, body),
        lambda s, e, _h, body: (206, {"Content-Range": f"bytes {s}-{e}/*"}, body),
        lambda s, e, _h, body: (206, {"Content-Range": f"bytes {s}-{e}/{len(DATA) + 1}"}, body),
        lambda s, e, _h, body: (206, {"Content-Range": f"bytes {s + 1}-{e}/{len(DATA)}"}, body),
        lambda _s, _e, headers, body: (206, headers, body + b"more"),
        lambda _s, _e, _h, _b: (416, {}, b""),
        lambda _s, _e, _h, _b: (404, {}, b""),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 20_000])
async def test_a_registry_that_cannot_is_asked_by_one_connection_from_there(say: Say, after: int) -> None:
    registry = Ranged(
        say=lambda s, e, headers, body: say(s, e, headers, body) if s >= after else (206, headers, body)
    )
    assert await registry.pulled() == DATA
    [start] = [first for first, last in registry.asked if last is None]
    assert start <= 1000 + 8000 * 3


async def test_another_entity_in_the_middle_is_not_mixed_in() -> None:
    registry = Ranged(
        say=lambda s, _, headers, body: (
            206,
            {**headers, "ETag": f'"{s > 20_000}"'},
            body if s <= 20_000 else bytes(len(body)),
        )
    )
    assert await registry.pulled() == DATA


async def test_cut_ranges_are_taken_up_where_they_ended() -> None:
    registry = Ranged(cut=2)
    assert await registry.pulled() == DATA
    assert sum(1 for start, _ in registry.asked if start % 1000 == 500) == 2


async def test_ranges_that_are_always_cut_leave_the_word_to_the_one_connection() -> None:
    registry = Ranged(cut=1000)
    assert await registry.pulled() == DATA
    assert [last for _, last in registry.asked].count(None) == 1


async def test_who_goes_away_leaves_no_request_behind() -> None:
    registry = Ranged(gate=asyncio.Event())
    pulling = asyncio.create_task(registry.pulled())
    await until(lambda: pulling.done() or registry.open == OPTIONS.connections)
    before = {task for task in asyncio.all_tasks() if task.get_name() == "piece of a blob"}
    assert before
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert all(task.done() for task in before)
