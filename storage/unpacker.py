"""The daemon's side of storage/unpack: start the process, feed it, and name what went wrong.

The process is started by asyncio's subprocess support, which uses vfork: the daemon is threaded and must
never fork. It gets the layer on its stdin while the network delivers it, so that no blob is written twice.
"""

import asyncio
import base64
import contextlib
import fcntl
import importlib.util
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.errors import Internal, InvalidArgument, PodwrightError, ResourceExhausted, Unimplemented
from storage.digest import Digest, DigestMismatch
from storage.unpack.faults import Kind, Limits

if TYPE_CHECKING:
    from storage.progress import Layer

log = logging.getLogger(__name__)

_PIPE_BYTES = 1 << 20
_RESULT_LIMIT = 16 << 20  # twice what Limits lets the process report
_HOUSE_AFTER_S = 0.5
_PROGRAM = (
    "import sys, json; sys.path[:0] = json.loads(sys.argv.pop(1)); "
    "from storage.unpack.__main__ import main; main()"
)


class LayerError(PodwrightError):
    """Base of what can be wrong with a layer; ``entry`` is the name inside the archive, "" for the whole."""

    def __init__(self, layer: str, text: str, entry: str = "") -> None:
        place = f"layer {layer}, entry {entry!r}" if entry else f"layer {layer}"
        super().__init__(f"{place}: {text}")
        self.layer = layer
        self.entry = entry


class TruncatedLayer(LayerError, InvalidArgument):
    """The layer ends before its time."""


class CorruptLayer(LayerError, InvalidArgument):
    """The layer is no well-formed archive."""


class HostileLayer(LayerError, InvalidArgument):
    """The layer tries what no honest image does: a way out of the root file system."""


class LayerTooLarge(LayerError, ResourceExhausted):
    """The layer passes a limit on size, entries or compression."""


class UnsupportedLayer(LayerError, Unimplemented):
    """The layer uses a form that is not supported."""


class StorageFull(LayerError, ResourceExhausted):
    """The disk took no more."""


class UnpackFailed(LayerError, Internal):
    """The unpack process ended without a result."""


_ERRORS: Mapping[Kind, type[LayerError]] = {
    Kind.TRUNCATED: TruncatedLayer,
    Kind.CORRUPT: CorruptLayer,
    Kind.HOSTILE: HostileLayer,
    Kind.TOO_LARGE: LayerTooLarge,
    Kind.UNSUPPORTED: UnsupportedLayer,
    Kind.DISK: StorageFull,
}


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer to be had: what it must be, and how to open its (compressed) bytes.

    ``digest`` is None where the archive is not addressed by one (docker save); ``size`` counts those bytes.
    ``owner`` is who delivers them: a registry's host, "" for a file. ``progress`` is told how far it is.
    """

    diff_id: Digest
    digest: Digest | None
    size: int
    open: Callable[[], AsyncIterator[bytes]]
    owner: str = ""
    progress: "Layer | None" = None

    @property
    def name(self) -> str:
        """What errors call the layer."""
        return str(self.digest or self.diff_id)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A verified, unpacked layer; ``implied`` are directories that no entry described, parents first."""

    archive_bytes: int
    disk_bytes: int
    inodes: int
    implied: tuple[str, ...]


# Gives the process of this pid a place where its memory is not the daemon's.
House = Callable[[int], Awaitable[None]]


class Unpacker:
    """Runs unpack processes; one that takes no byte, or does not end, for ``stall_timeout_s`` is killed.

    Those that last are handed to ``house``.
    """

    def __init__(self, limits: Limits, *, stall_timeout_s: float = 300.0, house: House | None = None) -> None:
        self._house = house
        self._limits = limits
        self._stall_timeout_s = stall_timeout_s
        self._module_path = module_path()

    async def unpack(self, source: LayerSource, directory: Path) -> Unpacked:
        """Unpack a layer into an empty directory; on any error what is in there is rubbish.

        Raises:
            DigestMismatch: the bytes, or the archive in them, are not those that were promised.
            LayerError: one of the classes above.
        """
        request = await self._request(directory)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(self._module_path), request,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=_PIPE_BYTES, env={"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        housing = asyncio.ensure_future(self._house_later(process.pid))
        try:
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(_read_all(process.stdout))
                trouble = group.create_task(_read_all(process.stderr))
                group.create_task(_feed(process, source.open(), self._stall_timeout_s))
            await process.wait()
        except BaseExceptionGroup as errors:
            first = _first(errors)
            if isinstance(first, _Stalled):
                text = f"the unpack process did nothing for {self._stall_timeout_s:g} s: is the disk stuck?"
                raise UnpackFailed(source.name, text) from errors
            raise first from errors
        finally:
            housing.cancel()
            await _reap(process)
        return _judge(source, _decode(source, answer.result(), trouble.result(), process.returncode))

    async def _request(self, directory: Path) -> str:
        """argv[1], as storage/unpack/__main__.py has it."""
        from storage.unpack_filters import filters  # the library costs time to load

        programs = asdict(await asyncio.to_thread(filters))
        encoded = {name: base64.b64encode(program).decode() for name, program in programs.items() if program}
        return json.dumps({"directory": str(directory), "limits": asdict(self._limits), "filters": encoded})

    async def _house_later(self, pid: int) -> None:
        """Most layers are unpacked before that would be done."""
        if self._house is not None:
            await asyncio.sleep(_HOUSE_AFTER_S)
            await self._house(pid)


def module_path() -> list[str]:
    """Where the process finds this package, isal and zstandard: it starts without site-packages."""
    places = [str(Path(__file__).resolve().parents[1])]
    for name in ("isal", "zstandard"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            places.append(str(Path(spec.origin).parents[1]))
    return list(dict.fromkeys(places))


class _Stalled(Exception):
    """The process neither takes input nor ends."""


async def _feed(
    process: asyncio.subprocess.Process, chunks: AsyncIterator[bytes], stall_timeout_s: float
) -> None:
    """Write the layer to the process's stdin and wait for its end."""
    assert process.stdin is not None, "started with a pipe"
    pipe = process.stdin.get_extra_info("pipe")
    with contextlib.suppress(OSError):  # a lower limit on pipes only makes it slower
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    async with aclosing(chunks) if hasattr(chunks, "aclose") else contextlib.nullcontext(chunks):  # type: ignore[type-var]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it gave up: its answer says why
            async for chunk in chunks:
                process.stdin.write(chunk)
                await _bounded(process.stdin.drain(), stall_timeout_s)
    process.stdin.close()
    await _bounded(process.wait(), stall_timeout_s)


async def _bounded(step: Awaitable[object], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await step
    except TimeoutError as error:
        raise _Stalled from error


async def _read_all(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None, "started with a pipe"
    data = bytearray()
    while chunk := await stream.read(_PIPE_BYTES):
        if len(data) < _RESULT_LIMIT:
            data += chunk
    return bytes(data)


async def _reap(process: asyncio.subprocess.Process) -> None:
    """No process is left behind, whatever ended the transfer."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the transfer, out of the group that the task group makes of it."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _decode(source: LayerSource, answer: bytes, trouble: bytes, status: int | None) -> Mapping[str, Any]:
    try:
        result = json.loads(answer)
    except ValueError as error:
        words = trouble.decode(errors="replace").strip().rpartition("\n")[2]
        ending = f"was killed by signal {-status}" if status and status < 0 else f"ended with status {status}"
        text = f"the unpack process {ending}{': ' + words if words else ''}"
        raise UnpackFailed(source.name, text) from error
    assert isinstance(result, dict), "the process writes an object"
    if result["unconfined"]:
        _say_once(", ".join(result["unconfined"]))
    if result["skipped_xattrs"]:
        log.info("attributes skipped layer=%s count=%d", source.name, result["skipped_xattrs"])
    if result["skipped_devices"]:
        log.info("device nodes skipped layer=%s count=%d", source.name, result["skipped_devices"])
    return result


@cache
def _say_once(means: str) -> None:
    log.warning("layers are unpacked without what this machine does not give: %s", means)


def _judge(source: LayerSource, result: Mapping[str, Any]) -> Unpacked:
    fault = result["fault"]
    if result["compressed"]:
        if result["compressed_bytes"] < source.size:
            text = f"truncated: {result['compressed_bytes']} of {source.size} bytes came"
            raise TruncatedLayer(source.name, text)
        if source.digest is not None and result["compressed"] != source.digest.hex:
            raise DigestMismatch(f"layer {source.name}", str(source.digest), f"sha256:{result['compressed']}")
    if fault is not None:
        raise _ERRORS[Kind(fault["kind"])](source.name, fault["text"], fault["entry"])
    if result["archive"] != source.diff_id.hex:
        raise DigestMismatch(
            f"uncompressed layer {source.name}", str(source.diff_id), f"sha256:{result['archive']}"
        )
    return Unpacked(result["archive_bytes"], result["disk_bytes"], result["inodes"], tuple(result["implied"]))
