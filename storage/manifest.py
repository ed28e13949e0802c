"""Manifests, indexes and image configs: OCI image-spec v1.1 and Docker's schema 2, parsed once.

Sizes are bounded before parsing. Unknown fields are ignored, as both specifications ask; wrong types are
errors. Docker's schema 1 is refused: it was withdrawn by every registry and has no verifiable config.
"""

import json
import platform as host_platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.errors import InvalidArgument, NotFound, Unimplemented
from storage.digest import Digest

MANIFEST_LIMIT = 4 << 20
CONFIG_LIMIT = 8 << 20
LAYERS_LIMIT = 500  # the kernel's overlayfs takes no more

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
ACCEPT = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
_CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG, ""})


class BadManifest(InvalidArgument):
    """A manifest, index or image config breaks its specification."""


class NotAnImage(Unimplemented):
    """The content is no container image (schema 1, an artifact), or a form that is not supported."""


class NoMatchingPlatform(NotFound):
    """An index has no image for this machine."""


# What else the processors of an architecture run.
_ALSO_RUNS: Mapping[str, tuple[str, ...]] = {"amd64": ("386",), "arm64": ("arm",)}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points to a blob: its type, digest and size in bytes."""

    media_type: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and processor, in Go's words; ``variant`` "" means any."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests by platform."""

    entries: tuple[tuple[Descriptor, Platform | None], ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, bottom first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about running it (image-spec v1.1, config.md)."""

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    stop_signal: str = ""
    exposed_ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigDocument:
    """A whole image config file."""

    config: ImageConfig
    platform: Platform
    diff_ids: tuple[Digest, ...]
    created: str | None


def this_platform() -> Platform:
    """The platform of the machine that this runs on."""
    machine = host_platform.machine()
    known = {
        "x86_64": Platform("linux", "amd64"),
        "aarch64": Platform("linux", "arm64", "v8"),
        "armv7l": Platform("linux", "arm", "v7"),
        "armv6l": Platform("linux", "arm", "v6"),
        "i686": Platform("linux", "386"),
    }
    return known.get(machine, Platform("linux", machine))


def parse_manifest(data: bytes, media_type: str = "") -> Index | Manifest:
    """Read a manifest or an index; ``media_type`` is the one that it was served with.

    Raises:
        BadManifest: not JSON, too large, or fields missing or of a wrong type.
        NotAnImage: schema 1, or an artifact.
    """
    document = _load(data, MANIFEST_LIMIT, "manifest")
    kind = document.get("mediaType") or media_type.partition(";")[0].strip()
    if document.get("schemaVersion") == 1 or str(kind).startswith(_SCHEMA1):
        raise NotAnImage(
            "Docker's manifest schema 1 is not supported; push the image again with a current tool"
        )
    if "manifests" in document and kind not in (OCI_MANIFEST, DOCKER_MANIFEST):
        return Index(tuple(_index_entry(entry) for entry in _list(document, "manifests")))
    if "config" not in document or "layers" not in document:
        raise BadManifest(f"manifest of type {kind!r} has neither manifests nor config and layers")
    return _manifest(document)


def _manifest(document: Mapping[str, Any]) -> Manifest:
    config = _descriptor(document["config"])
    if config.media_type not in _CONFIG_TYPES:
        raise NotAnImage(
            f"the manifest's config is {config.media_type!r}: an artifact, not a container image"
        )
    layers = tuple(_descriptor(layer) for layer in _list(document, "layers"))
    if len(layers) > LAYERS_LIMIT:
        raise BadManifest(f"{len(layers)} layers, more than the {LAYERS_LIMIT} that can be mounted")
    return Manifest(config, layers)


def choose(index: Index, wanted: Platform) -> Descriptor:
    """The manifest for a platform: its own variant, else the highest lower one (arm), else one without.

    Raises:
        NoMatchingPlatform: naming what there is.
    """
    ranked = []
    for position, (descriptor, offered) in enumerate(index.entries):
        rank = _rank(offered, wanted)
        if rank is not None:
            ranked.append((rank, -position, descriptor))
    if not ranked:
        offers = ", ".join(sorted({str(offered) for _, offered in index.entries if offered})) or "none"
        raise NoMatchingPlatform(f"no image for {wanted} in the index; it offers {offers}")
    return max(ranked, key=lambda entry: entry[:2])[2]


def require_platform(offered: Platform, wanted: Platform) -> None:
    """Refuse an image whose programs cannot run here; one that does not say passes.

    Raises:
        NoMatchingPlatform: naming both.
    """
    runs = _ALSO_RUNS.get(wanted.architecture, ())
    if offered.os not in ("", wanted.os) or offered.architecture not in ("", wanted.architecture, *runs):
        raise NoMatchingPlatform(
            f"the image is for {offered}, and this node is {wanted}: pull one that is built for it"
        )


def _rank(offered: Platform | None, wanted: Platform) -> int | None:
    if offered is None:
        return 0
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    if not offered.variant or offered.variant == wanted.variant:
        return 1000 if offered.variant == wanted.variant else 999 if wanted.architecture != "arm" else 1
    if wanted.architecture != "arm":
        return None if wanted.variant or offered.variant not in ("v1",) else 998
    have, want = _arm_version(offered.variant), _arm_version(wanted.variant)
    return 100 + have if have <= want else None


def _arm_version(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdigit() and len(digits) < 3 else 99


def parse_config(data: bytes) -> ConfigDocument:
    """Read an image config file.

    Raises:
        BadManifest: as for manifests.
    """
    document = _load(data, CONFIG_LIMIT, "image config")
    rootfs = _mapping(document, "rootfs")
    diff_ids = tuple(Digest.parse(str(text)) for text in _list(rootfs, "diff_ids"))
    created = document.get("created")
    return ConfigDocument(
        config=_image_config(_mapping(document, "config")),
        platform=Platform(
            str(document.get("os") or ""),
            str(document.get("architecture") or ""),
            str(document.get("variant") or ""),
        ),
        diff_ids=diff_ids,
        created=created if isinstance(created, str) else None,
    )


def _image_config(config: Mapping[str, Any]) -> ImageConfig:
    labels = _mapping(config, "Labels")
    return ImageConfig(
        env=_strings(config, "Env"),
        entrypoint=_strings(config, "Entrypoint"),
        cmd=_strings(config, "Cmd"),
        working_dir=_string(config, "WorkingDir"),
        user=_string(config, "User"),
        volumes=tuple(_mapping(config, "Volumes")),
        labels={str(key): str(value) for key, value in labels.items()},
        stop_signal=_string(config, "StopSignal"),
        exposed_ports=tuple(_mapping(config, "ExposedPorts")),
    )


def _load(data: bytes, limit: int, what: str) -> Mapping[str, Any]:
    if len(data) > limit:
        raise BadManifest(f"{what} of {len(data)} bytes is larger than {limit}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"{what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadManifest(f"{what} is not a JSON object")
    return document


def _index_entry(entry: object) -> tuple[Descriptor, Platform | None]:
    descriptor = _descriptor(entry)
    platform = entry.get("platform") if isinstance(entry, dict) else None
    if not isinstance(platform, dict):
        return descriptor, None
    return descriptor, Platform(
        _string(platform, "os"), _string(platform, "architecture"), _string(platform, "variant")
    )


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise BadManifest(f"descriptor is {type(value).__name__}, not an object")
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadManifest(f"descriptor has the size {size!r}")
    return Descriptor(_string(value, "mediaType"), Digest.parse(_string(value, "digest")), size)


def _string(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadManifest(f"{key} is {type(value).__name__}, not a string")
    return value


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadManifest(f"{key} is {type(value).__name__}, not a list")
    return value


def _strings(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values: Iterable[Any] = _list(document, key)
    if not all(isinstance(value, str) for value in values):
        raise BadManifest(f"{key} holds something that is no string")
    return tuple(values)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadManifest(f"{key} is {type(value).__name__}, not an object")
    return value
