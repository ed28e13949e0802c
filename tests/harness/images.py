"""Container images made in memory, the same bytes each time: layers, manifests, archives (image-spec)."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest_of(data: bytes) -> str:
    """``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer: a file with ``data``, a directory without, or a link if ``link`` is set."""

    path: str
    data: bytes | None = None
    mode: int = 0o755
    link: str = ""
    hard: bool = False

    def header(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.path.lstrip("/"))
        info.mode = self.mode
        info.size = len(self.data or b"")
        if self.link:
            info.type = tarfile.LNKTYPE if self.hard else tarfile.SYMTYPE
            info.linkname = self.link
        elif self.data is None:
            info.type = tarfile.DIRTYPE
        return info


@dataclass(frozen=True, slots=True)
class Layer:
    """A gzipped layer and the digest of its tar."""

    blob: bytes
    diff_id: str

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Layer":
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in entries:
                tar.addfile(entry.header(), io.BytesIO(entry.data or b""))
        return cls.of_tar(raw.getvalue())

    @classmethod
    def of_tar(cls, tar: bytes) -> "Layer":
        """A layer of a ready tar stream, which may be as malformed as a test wants."""
        return cls(gzip.compress(tar, 6, mtime=0), digest_of(tar))


@dataclass(frozen=True, slots=True)
class Image:
    """Layers and the ``config`` part of an image configuration (``Cmd``, ``Env``, ``User`` …)."""

    layers: Sequence[Layer]
    config: Mapping[str, object] = field(default_factory=dict)

    def config_bytes(self) -> bytes:
        return _json(
            {
                "architecture": ARCHITECTURES[platform.machine()],
                "os": "linux",
                "config": dict(self.config),
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
                "history": [{"created_by": f"layer {index}"} for index in range(len(self.layers))],
            }
        )

    def manifest_bytes(self) -> bytes:
        config = self.config_bytes()
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(CONFIG_TYPE, config),
                "layers": [_descriptor(LAYER_TYPE, layer.blob) for layer in self.layers],
            }
        )

    @property
    def id(self) -> str:
        """What CRI calls the image id: the digest of the configuration."""
        return digest_of(self.config_bytes())

    def write_docker_archive(self, path: Path, name: str) -> None:
        """Write what ``docker save`` would, with one name."""
        config = self.config_bytes()
        config_name = digest_of(config).removeprefix("sha256:") + ".json"
        names = [f"layer-{index}.tar" for index in range(len(self.layers))]
        index = [{"Config": config_name, "RepoTags": [name], "Layers": names}]
        with tarfile.open(path, "w") as tar:
            for layer_name, layer in zip(names, self.layers, strict=True):
                _add(tar, layer_name, gzip.decompress(layer.blob))
            _add(tar, config_name, config)
            _add(tar, "manifest.json", _json(index))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(Entry(name, data, 0o644).header(), io.BytesIO(data))


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
