"""A docker-registry of the test's own, on a free loopback port, and a client that pushes to it."""

import http.client
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.debian import find, unpacked
from tests.harness.images import MANIFEST_TYPE, Image, Layer, digest_of
from tests.harness.patience import patient
from tests.harness.ports import listening

START_TIMEOUT_S = patient(20)
STOP_TIMEOUT_S = patient(10)
PUBLIC_NAMES = ("registry.k8s.io", "k8s.gcr.io", "gcr.io", "public.ecr.aws", "docker.io")


class RegistryFailed(Exception):
    """The registry does not start, or refuses what is pushed to it."""


def registry_program() -> Path:
    """docker-registry from PATH, else from Debian's package unpacked into the cache.

    It is not installed on the system, where it would bring a service along. The first call needs the network.
    """
    if on_path := shutil.which("docker-registry"):
        return Path(on_path)
    tree, _ = unpacked(["docker-registry"])
    return find(tree, "docker-registry")


class Registry:
    """``with Registry(directory) as registry``: serves what is in ``directory``; ``readonly`` refuses pushes.

    A read-only registry changes nothing in its directory, so that any number may share one.
    """

    def __init__(self, directory: Path, *, readonly: bool = False, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or 0  # until it serves; the same again when it is started again
        self._readonly = readonly
        self._process: subprocess.Popen[bytes] | None = None
        self._private: Path | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RegistryFailed: the program is missing, ends, or stays silent; its log is in the message.
        """
        program = registry_program()
        self._private = Path(tempfile.mkdtemp(prefix="podwright-registry-"))
        config = self._private / "config.yml"
        config.write_text(self._configuration())
        with (self._private / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + START_TIMEOUT_S
        while not self._answers(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self._private / "log").read_text(errors="replace")[-1000:]
                self.stop()
                raise RegistryFailed(f"docker-registry on {self.address} does not answer:\n{said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the process and remove its configuration; the directory stays."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)
            self._private = None

    def _configuration(self) -> str:
        readonly = str(self._readonly).lower()
        return (
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            "storage:\n"
            f"  filesystem: {{rootdirectory: '{self.directory}'}}\n"
            "  delete: {enabled: true}\n"
            f"  maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {readonly}}}}}\n"
            f"http: {{addr: '{self.address}', secret: podwright}}\n"
        )

    def _answers(self, pid: int) -> bool:
        self.port = self.port or min(listening(pid), default=0)
        try:
            return self.port != 0 and self.request("GET", "/v2/")[0] == 200
        except OSError:
            return False

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request: status, headers with lower-case names, body."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes, digest: str | None = None) -> str:
        """Upload one blob unless it is there; returns its digest."""
        digest = digest or digest_of(data)
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return digest
        status, headers, text = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        _expect(202, status, text, f"starting an upload to {repository}")
        where = headers["location"]
        path = where[where.index("/v2/") :]
        path += ("&" if "?" in path else "?") + f"digest={digest}"
        status, _, text = self.request("PUT", path, data, {"Content-Type": "application/octet-stream"})
        _expect(201, status, text, f"uploading {digest} to {repository}")
        return digest

    def push(self, image: Image, *names: str) -> str:
        """Push an image as each ``host/path:tag``, the host being part of the path; the manifest's digest."""
        manifest = image.manifest_bytes()
        for name in names:
            repository, _, tag = name.rpartition(":")
            for layer in image.layers:
                self.push_blob(repository, layer.blob)
            self.push_blob(repository, image.config_bytes())
            self.push_manifest(repository, tag, manifest)
        return digest_of(manifest)

    def push_manifest(
        self, repository: str, tag: str, manifest: bytes, media_type: str = MANIFEST_TYPE
    ) -> None:
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, text = self.request("PUT", path, manifest, {"Content-Type": media_type})
        _expect(201, status, text, f"pushing {repository}:{tag}")

    def fetch(self, name: str) -> Image:
        """An image that is here, by the ``path:tag`` that it was pushed under."""
        repository, _, tag = name.rpartition(":")
        manifest = json.loads(self._get(f"/v2/{repository}/manifests/{tag}", Accept=MANIFEST_TYPE))
        config = json.loads(self._get(f"/v2/{repository}/blobs/{manifest['config']['digest']}"))
        blobs = [self._get(f"/v2/{repository}/blobs/{layer['digest']}") for layer in manifest["layers"]]
        return Image(
            [Layer(*pair) for pair in zip(blobs, config["rootfs"]["diff_ids"], strict=True)], config["config"]
        )

    def _get(self, path: str, **headers: str) -> bytes:
        status, _, body = self.request("GET", path, headers=headers)
        _expect(200, status, body, f"GET {path}")
        return body

    def registries_conf(self) -> str:
        """A containers-registries.conf that finds the public names here (containers-registries.conf(5))."""
        own = f'[[registry]]\nlocation = "{self.address}"\ninsecure = true\n'
        return own + "".join(
            f'\n[[registry]]\nprefix = "{name}"\nlocation = "{self.address}/{name}"\ninsecure = true\n'
            for name in PUBLIC_NAMES
        )


def _expect(wanted: int, status: int, text: bytes, doing: str) -> None:
    if status != wanted:
        raise RegistryFailed(
            f"{doing}: the registry answered {status}: {text.decode(errors='replace')[:500]}"
        )


if __name__ == "__main__":
    print(registry_program())
