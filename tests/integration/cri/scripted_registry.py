"""A registry that answers each repository in its own way, over HTTP or over TLS that nobody vouches for."""

import json
import ssl
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.harness.images import digest_of

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
Answer = tuple[int, Mapping[str, str], bytes]


def error(status: int, code: str, **headers: str) -> Answer:
    """A registry's refusal in the form of distribution-spec."""
    return status, headers, json.dumps({"errors": [{"code": code, "message": "says the test"}]}).encode()


class ScriptedRegistry:
    """``with ScriptedRegistry(answers)``: ``answers`` by path, such as ``/v2/app/manifests/1``; else 404."""

    def __init__(self, answers: Mapping[str, Answer], certificate: Path | None = None) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = answers.get(self.path, error(404, "MANIFEST_UNKNOWN"))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def image_of(repository: str, *, architecture: str, config: bytes | None = None) -> dict[str, Answer]:
    """The answers for an image without layers at tag 1; ``config`` in place of what its manifest names."""
    named = json.dumps(
        {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}}
    ).encode()
    served = named if config is None else config
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(named),
            "size": len(named),
        },
        "layers": [],
    }
    return {
        f"/v2/{repository}/manifests/1": (200, {"Content-Type": MANIFEST}, json.dumps(manifest).encode()),
        f"/v2/{repository}/blobs/{digest_of(named)}": (200, {}, served.ljust(len(named))[: len(named)]),
    }


def self_signed(directory: Path) -> Path:
    """A certificate for 127.0.0.1 with its key in one file."""
    path = directory / "self-signed.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1"
    )
    argv = [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    outputs = ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run([*argv, *outputs], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path
