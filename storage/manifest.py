"""Manifests, indexes and image configs: OCI image-spec v1.1 and Docker's schema 2, parsed once.

Sizes, values and depth are bounded before parsing. Unknown fields are ignored, as both specifications ask;
wrong types are errors. Docker's schema 1 is refused: it was withdrawn by every registry and has no verifiable
config.

A digest has one meaning: the bytes alone say whether they are a manifest or an index, whatever type a
registry serves them with, and bytes that could be both are neither (CVE-2021-41190). Names are matched as the
peers match them, without regard to case, and a field that stands there in two spellings is refused. Text
that is kept is UTF-8 without zero bytes, numbers fit into 63 bits, and what is kept of a config is bounded in
count and size.
"""

import platform as host_platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.errors import InvalidArgument, NotFound, Unimplemented
from storage.bounded_json import BadJson, bounded_json
from storage.digest import Digest

MANIFEST_LIMIT = 4 << 20
CONFIG_LIMIT = 4 << 20  # as containers/image has it
VALUES_LIMIT = 50_000  # of one document
ITEMS_LIMIT = 4096  # of one list or object that is kept
KEPT_CHARACTERS = 2 << 20  # of a config's texts together; the daemon holds them as long as the image is there
INDEX_LIMIT = 1000
LAYERS_LIMIT = 500  # the kernel's overlayfs takes no more

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
ACCEPT = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
_MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
_INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
_MANIFEST_FIELDS = ("schemaVersion", "mediaType", "manifests", "config", "layers")
_DESCRIPTOR_FIELDS = ("mediaType", "digest", "size", "platform")
_PLATFORM_FIELDS = ("os", "architecture", "variant")
_DOCUMENT_FIELDS = ("config", "rootfs", "created", *_PLATFORM_FIELDS)
_CONFIG_FIELDS = (
    "Env", "Entrypoint", "Cmd", "WorkingDir", "User", "Volumes", "Labels", "StopSignal", "ExposedPorts"
)  # fmt: skip
_ARM_VARIANT = re.compile(r"v?([0-9]{1,2})")
_LARGEST = (1 << 63) - 1
_LARGEST_ID = (1 << 32) - 2  # the last one is "none" to the kernel
_USER_CHARACTERS = 512
# What docker push of 2015 and 2016, and some registries, called a config (moby issue 22378).
_OLD_DOCKER_TYPES = frozenset({"application/octet-stream", "application/json", "text/html"})
INDEX_DEPTH = 3  # an index may hold an index for a platform; nobody nests deeper
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


IndexEntry = tuple[Descriptor, Platform | None]


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests by platform."""

    entries: tuple[IndexEntry, ...]


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


def parse_manifest(data: bytes) -> Index | Manifest:
    """Read a manifest or an index.

    Raises:
        BadManifest: not JSON, too large, ambiguous, or fields missing or of a wrong type.
        NotAnImage: schema 1, or an artifact.
    """
    document = _known(_load(data, MANIFEST_LIMIT, "manifest"), _MANIFEST_FIELDS)
    kind = _string(document, "mediaType")
    if document.get("schemaVersion") == 1 or kind.startswith(_SCHEMA1):
        raise NotAnImage(
            "Docker's manifest schema 1 is not supported; push the image again with a current tool"
        )
    index, manifest = "manifests" in document, "config" in document or "layers" in document
    if index and manifest:
        raise BadManifest("a document with manifests and with config or layers is neither index nor manifest")
    if (index and kind in _MANIFEST_TYPES) or (manifest and kind in _INDEX_TYPES):
        raise BadManifest(f"a document of type {kind!r} has the fields of another")
    if index:
        return _index(document)
    if "config" not in document or "layers" not in document:
        shown = kind[:100]
        raise BadManifest(f"manifest of type {shown!r} has neither manifests nor config and layers")
    return _manifest(document, _OLD_DOCKER_TYPES if kind == DOCKER_MANIFEST else frozenset())


def _index(document: Mapping[str, Any]) -> Index:
    entries = _list(document, "manifests")
    if len(entries) > INDEX_LIMIT:
        raise BadManifest(f"an index of {len(entries)} manifests, more than {INDEX_LIMIT}")
    return Index(tuple(_index_entry(entry) for entry in entries))


def _manifest(document: Mapping[str, Any], also: frozenset[str]) -> Manifest:
    config = _descriptor(document["config"])
    if config.media_type not in _CONFIG_TYPES | also:
        shown = config.media_type[:100]
        raise NotAnImage(f"the manifest's config is {shown!r}: an artifact, not a container image")
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
        raise NoMatchingPlatform(f"no image for {wanted} in the index; it offers {offers[:500]}")
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
    match = _ARM_VARIANT.fullmatch(variant)
    return int(match[1]) if match else 99


def parse_config(data: bytes) -> ConfigDocument:
    """Read an image config file.

    Raises:
        BadManifest: as for manifests.
    """
    document = _known(_load(data, CONFIG_LIMIT, "image config"), _DOCUMENT_FIELDS)
    rootfs = _known(_mapping(document, "rootfs"), ("diff_ids",))
    texts = _list(rootfs, "diff_ids")
    if len(texts) > LAYERS_LIMIT:
        raise BadManifest(f"{len(texts)} layers, more than the {LAYERS_LIMIT} that can be mounted")
    created = document.get("created")
    return ConfigDocument(
        config=_image_config(_known(_mapping(document, "config"), _CONFIG_FIELDS)),
        platform=_platform(document),
        diff_ids=tuple(Digest.parse(_clean(text, "a diff id")) for text in texts),
        created=_clean(created, "created") if isinstance(created, str) else None,
    )


def _image_config(config: Mapping[str, Any]) -> ImageConfig:
    labels = _mapping(config, "Labels")
    read = ImageConfig(
        env=_strings(config, "Env"),
        entrypoint=_strings(config, "Entrypoint"),
        cmd=_strings(config, "Cmd"),
        working_dir=_string(config, "WorkingDir"),
        user=_user(_string(config, "User")),
        volumes=tuple(_clean(name, "a volume") for name in _mapping(config, "Volumes")),
        labels={_clean(key, "a label"): _clean(str(value), "a label") for key, value in labels.items()},
        stop_signal=_string(config, "StopSignal"),
        exposed_ports=tuple(_clean(name, "a port") for name in _mapping(config, "ExposedPorts")),
    )
    kept = sum(len(text) for text in _texts(read))
    if kept > KEPT_CHARACTERS:
        raise BadManifest(f"an image config of {kept} characters, more than {KEPT_CHARACTERS}")
    return read


def _texts(config: ImageConfig) -> Iterable[str]:
    yield from config.env + config.entrypoint + config.cmd + config.volumes + config.exposed_ports
    yield from (config.working_dir, config.user, config.stop_signal)
    for pair in (config.labels or {}).items():
        yield from pair


def _user(text: str) -> str:
    """``user[:group]``; who that is, if anybody, is found out when a container is made."""
    if len(text) > _USER_CHARACTERS or not (text.isprintable() or not text):
        raise BadManifest(f"User is {text[:100]!r}")
    for part in text.split(":"):
        if part.isascii() and part.isdecimal() and (len(part) > 10 or int(part) > _LARGEST_ID):
            raise BadManifest(f"User is {text[:100]!r}: an id is at most {_LARGEST_ID}")
    return text


def _load(data: bytes, limit: int, what: str) -> Mapping[str, Any]:
    if len(data) > limit:
        raise BadManifest(f"{what} of {len(data)} bytes is larger than {limit}")
    try:
        document = bounded_json(data, what, values=VALUES_LIMIT)
    except BadJson as error:
        raise BadManifest(str(error)) from error
    if not isinstance(document, dict):
        raise BadManifest(f"{what} is not a JSON object")
    return document


def _known(document: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """The fields of these names, found without regard to case as Go's readers find them."""
    spelled = {name.casefold(): name for name in names}
    result: dict[str, Any] = {}
    for key, value in document.items():
        name = spelled.get(key.casefold())
        if name is not None:
            if name in result:
                raise BadManifest(f"{name} stands there in two spellings")
            result[name] = value
    return result


def _index_entry(entry: object) -> tuple[Descriptor, Platform | None]:
    descriptor = _descriptor(entry)
    platform = _known(entry, _DESCRIPTOR_FIELDS).get("platform") if isinstance(entry, dict) else None
    if not isinstance(platform, dict):
        return descriptor, None
    return descriptor, _platform(_known(platform, _PLATFORM_FIELDS))


def _platform(document: Mapping[str, Any]) -> Platform:
    return Platform(_string(document, "os"), _string(document, "architecture"), _string(document, "variant"))


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise BadManifest(f"descriptor is {type(value).__name__}, not an object")
    fields = _known(value, _DESCRIPTOR_FIELDS)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
        raise BadManifest(f"descriptor has the size {str(size)[:40]}")
    return Descriptor(_string(fields, "mediaType"), Digest.parse(_string(fields, "digest")), size)


def _clean(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise BadManifest(f"{what} is {type(text).__name__}, not a string")
    # The halves of surrogate pairs, which JSON can write and UTF-8 cannot.
    if "\0" in text or not (text.isascii() or text.encode(errors="ignore").decode() == text):
        raise BadManifest(f"{what} is {text[:100]!r}: a zero byte, or no UTF-8")
    return text


def _string(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return "" if value is None else _clean(value, key)


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadManifest(f"{key} is {type(value).__name__}, not a list")
    return value


def _strings(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _list(document, key)
    _bound(values, key)
    return tuple(_clean(value, f"an item of {key}") for value in values)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadManifest(f"{key} is {type(value).__name__}, not an object")
    _bound(value, key)
    return value


def _bound(value: list[Any] | dict[str, Any], key: str) -> None:
    if len(value) > ITEMS_LIMIT:
        raise BadManifest(f"{key} has {len(value)} items, more than {ITEMS_LIMIT}")
