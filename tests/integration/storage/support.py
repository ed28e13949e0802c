"""Images made of nothing, a real registry to push them to, and a way to cut connections."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.client import eventually
from tests.harness.patience import patient
from tests.harness.ports import listening
from tests.harness.registry import registry_program

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
HTPASSWD = "tester:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # secret


def sha256(data: bytes) -> str:
    """``sha256:<hex>`` of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a layer; ``kind`` is a tarfile type."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1_600_000_000.25
    pax: dict[str, str] = field(default_factory=dict)


def tar_bytes(members: Sequence[Member]) -> bytes:
    """A pax archive of ``members``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = member.kind, member.link, member.mode
            info.uid, info.gid, info.mtime = member.uid, member.gid, member.mtime
            info.size = len(member.data)
            info.pax_headers = member.pax
            archive.addfile(info, io.BytesIO(member.data))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """Blobs of an image by digest, and its manifest."""

    blobs: dict[str, bytes]
    manifest: bytes
    config: bytes
    layer_digests: tuple[str, ...]


def build_image(
    tars: Sequence[bytes],
    *,
    compress: Callable[[bytes], bytes] = lambda data: gzip.compress(data, 1),
    config: dict[str, Any] | None = None,
    label: str = "",
    architecture: str = "amd64",
) -> BuiltImage:
    """An OCI image of uncompressed layers."""
    layers = [compress(data) for data in tars]
    document = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Env": ["A=b"], "Labels": {"label": label}, **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in tars]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", document),
            "layers": [descriptor(GZIP_LAYER, layer) for layer in layers],
        }
    ).encode()
    blobs = {sha256(data): data for data in (document, *layers)}
    return BuiltImage(blobs, manifest, document, tuple(sha256(layer) for layer in layers))


def descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    """An OCI descriptor of ``data``."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def names(directory: Path) -> list[str]:
    """What a directory holds, sorted."""
    return sorted(path.name for path in directory.iterdir())


@dataclass(frozen=True, slots=True)
class Registry:
    """A running docker-registry with its storage directory."""

    port: int
    storage: Path
    headers: dict[str, str]

    @property
    def host(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def request(self, method: str, url: str, data: bytes | None = None, media_type: str = "") -> str:
        """One request; returns the Location header of the answer."""
        full = url if url.startswith("http") else f"http://{self.host}{url}"
        headers = {**self.headers, **({"Content-Type": media_type} if media_type else {})}
        request = urllib.request.Request(full, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers.get("Location", ""))

    def push(self, repository: str, tag: str, image: BuiltImage) -> None:
        """Upload the blobs and the manifest."""
        for digest, data in image.blobs.items():
            location = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
            mark = "&" if "?" in location else "?"
            self.request("PUT", f"{location}{mark}digest={digest}", data, "application/octet-stream")
        self.put_manifest(repository, tag, image.manifest, OCI_MANIFEST)

    def put_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> None:
        """Upload one manifest or index."""
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", data, media_type)

    def blob_file(self, digest: str) -> Path:
        """Where the registry keeps a blob, to damage it there."""
        value = digest.removeprefix("sha256:")
        return self.storage / f"docker/registry/v2/blobs/sha256/{value[:2]}/{value}/data"


@contextlib.contextmanager
def running_registry(directory: Path, *, htpasswd: bool = False) -> Iterator[Registry]:
    """Start docker-registry on a free loopback port with its storage below ``directory``."""
    storage = directory / "registry"
    auth = ""
    headers = {}
    if htpasswd:
        (directory / "htpasswd").write_text(HTPASSWD)
        auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {directory}/htpasswd\n"
        headers = {"Authorization": "Basic dGVzdGVyOnNlY3JldA=="}  # tester:secret
    config = directory / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {storage}\n"
        f"http:\n  addr: 127.0.0.1:0\n{auth}"
    )
    process = subprocess.Popen(
        [registry_program(), "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield Registry(_port_of(process), storage, headers)
    finally:
        process.terminate()
        process.wait(timeout=patient(10))


def _port_of(process: subprocess.Popen[bytes]) -> int:
    """Once it listens, which it does when it is ready."""

    def look() -> set[int]:
        assert process.poll() is None, "docker-registry ended at once"
        return listening(process.pid)

    return min(eventually(look, bool, "docker-registry listens"))


@contextlib.asynccontextmanager
async def cutting_proxy(port: int, cuts: list[int]) -> AsyncIterator[int]:
    """A TCP proxy that cuts the n-th long answer after ``cuts[n]`` bytes, until the list is used up.

    Answers shorter than the limit pass; the list is consumed, so the test sees what was cut.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        task = asyncio.create_task(_copy(reader, upstream_writer))
        tasks.add(task)
        passed = 0
        try:
            while data := await upstream_reader.read(65536):
                passed += len(data)
                if cuts and passed > cuts[0]:
                    cuts.pop(0)
                    writer.transport.abort()
                    break
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            task.cancel()
            upstream_writer.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)  # lets the handlers see their closed connections


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
