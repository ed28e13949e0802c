"""storage/manifest: indexes, manifests, configs and the choice of a platform."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from storage.digest import Digest, InvalidDigest
from storage.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    BadManifest,
    Descriptor,
    Index,
    Manifest,
    NoMatchingPlatform,
    NotAnImage,
    Platform,
    choose,
    parse_config,
    parse_manifest,
    require_platform,
    this_platform,
)

DIGEST = Digest("11" * 32)


def descriptor(media_type: str, digit: str = "1", **more: object) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digit * 64}", "size": 7, **more}


def manifest(**changes: object) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG),
        "layers": [descriptor("layer", "2")],
    }
    return json.dumps({**document, **changes}).encode()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST, None])
def test_both_kinds_of_manifest_are_read(media_type: str | None) -> None:
    parsed = parse_manifest(manifest(mediaType=media_type))
    assert parsed == Manifest(Descriptor(OCI_CONFIG, DIGEST, 7), (Descriptor("layer", Digest("22" * 32), 7),))


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST, None])
def test_both_kinds_of_index_are_read(media_type: str | None) -> None:
    entry = descriptor(OCI_MANIFEST, platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    data = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}).encode()
    parsed = parse_manifest(data)
    assert parsed == Index(((Descriptor(OCI_MANIFEST, DIGEST, 7), Platform("linux", "arm", "v7")),))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", BadManifest),
        (b"[]", BadManifest),
        (b"{}", BadManifest),
        (b"[" * 100_000, BadManifest),
        (b" " * (5 << 20), BadManifest),
        (b'{"schemaVersion": 1, "fsLayers": []}', NotAnImage),
        (manifest(config=descriptor("application/vnd.cncf.helm.config.v1+json")), NotAnImage),
        (manifest(config=7), BadManifest),
        (manifest(layers={}), BadManifest),
        (manifest(layers=[{"size": -1, "digest": str(DIGEST)}]), BadManifest),
        (manifest(layers=[{"size": True, "digest": str(DIGEST)}]), BadManifest),
        (manifest(layers=[{"size": 1, "digest": "md5:0"}]), InvalidDigest),
        (manifest(layers=[descriptor("l")] * 501), BadManifest),
    ],
)
def test_what_is_no_manifest(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_manifest(data)


def index(*platforms: str) -> Index:
    entries = []
    for position, text in enumerate(platforms):
        parts = text.split("/")
        entries.append(
            (Descriptor(OCI_MANIFEST, Digest(f"{position:064x}"), 1), Platform(*parts) if text else None)
        )
    return Index(tuple(entries))


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64/v8", "linux/amd64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/amd64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["", "linux/amd64"], 1),
        ("linux/amd64", ["", "linux/arm64"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm64/v8", ["linux/arm64", "linux/arm64/v8"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64/v8"], 1),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1),
        ("linux/arm/v7", ["linux/arm"], 0),
    ],
)
def test_the_choice_of_a_platform(wanted: str, offered: list[str], chosen: int) -> None:
    assert choose(index(*offered), Platform(*wanted.split("/"))).digest == Digest(f"{chosen:064x}")


@pytest.mark.parametrize("offered", [[], ["linux/arm/v7"], ["linux/amd64/v3"], ["windows/amd64"]])
def test_no_platform_fits(offered: list[str]) -> None:
    with pytest.raises(NoMatchingPlatform, match="no image for linux/amd64"):
        choose(index(*offered), Platform("linux", "amd64"))


def test_this_machine_has_a_platform() -> None:
    assert this_platform().os == "linux"


def test_a_config_is_read_and_may_leave_out_nearly_everything() -> None:
    full = {
        "os": "linux",
        "architecture": "amd64",
        "created": "2024-01-01T00:00:00Z",
        "config": {
            "Env": ["A=b"], "Entrypoint": ["/e"], "Cmd": ["c"], "WorkingDir": "/w", "User": "u",
            "StopSignal": "SIGINT",
            "Volumes": {"/data": {}}, "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [str(DIGEST)]},
    }  # fmt: skip
    document = parse_config(json.dumps(full).encode())
    config = document.config
    assert (config.env, config.entrypoint, config.cmd) == (("A=b",), ("/e",), ("c",))
    assert (config.working_dir, config.user, config.stop_signal) == ("/w", "u", "SIGINT")
    assert (config.volumes, config.labels, config.exposed_ports) == (("/data",), {"k": "v"}, ("80/tcp",))
    assert (document.diff_ids, document.created) == ((DIGEST,), "2024-01-01T00:00:00Z")
    nothing = parse_config(b'{"config": {"Env": null, "Entrypoint": null, "Volumes": null}}')
    assert (nothing.config.env, nothing.diff_ids, nothing.created) == ((), (), None)


@pytest.mark.parametrize("config", [{"Env": [1]}, {"Env": "A=b"}, {"User": 7}, {"Volumes": []}])
def test_a_config_with_wrong_types_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(BadManifest):
        parse_config(json.dumps({"config": config}).encode())


def test_a_digest_has_one_meaning_whatever_type_it_is_served_with() -> None:
    both = json.loads(manifest())
    both["manifests"] = [descriptor(OCI_MANIFEST)]
    for kind in (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "", None):
        with pytest.raises(BadManifest, match="neither index nor manifest"):
            parse_manifest(json.dumps({**both, "mediaType": kind}).encode())
    for kind in (OCI_INDEX, DOCKER_LIST):
        with pytest.raises(BadManifest, match="fields of another"):
            parse_manifest(manifest(mediaType=kind))
    for kind in (OCI_MANIFEST, DOCKER_MANIFEST):
        with pytest.raises(BadManifest, match="fields of another"):
            parse_manifest(json.dumps({"mediaType": kind, "manifests": []}).encode())


def test_names_are_read_without_regard_to_case_and_once() -> None:
    """Go's readers do so: an image must not be run as root here and as its user elsewhere."""
    assert parse_config(b'{"Config": {"user": "1000"}}').config.user == "1000"
    for data in (
        b'{"config": {"User": "0", "user": "1000"}}',
        b'{"config": {}, "Config": {"User": "1000"}}',
        b'{"config": {"User": "0", "User": "1000"}}',
    ):
        with pytest.raises(BadManifest):
            parse_config(data)
    with pytest.raises(BadManifest, match="two spellings"):
        parse_manifest(manifest(Layers=[]))
    assert parse_config(b'{"config": {"Labels": {"a": "1", "A": "2"}}}').config.labels == {"a": "1", "A": "2"}


ODD_TEXTS = ["a\0b", "\ud800", "\udfff\ud800"]


@pytest.mark.parametrize("text", ODD_TEXTS)
@pytest.mark.parametrize(
    "config",
    [
        lambda text: {"User": text},
        lambda text: {"Env": [text]},
        lambda text: {"Entrypoint": [text]},
        lambda text: {"Cmd": ["x", text]},
        lambda text: {"WorkingDir": text},
        lambda text: {"StopSignal": text},
        lambda text: {"Volumes": {text: {}}},
        lambda text: {"ExposedPorts": {text: {}}},
        lambda text: {"Labels": {text: "x"}},
        lambda text: {"Labels": {"x": text}},
    ],
)
def test_text_that_is_kept_is_utf_8_without_zero_bytes(
    text: str, config: Callable[[str], dict[str, object]]
) -> None:
    parse_config(json.dumps({"config": config("plain \u00e4 \U0001f600")}).encode())
    with pytest.raises(BadManifest):
        parse_config(json.dumps({"config": config(text)}).encode())


@pytest.mark.parametrize(
    "user",
    ["99999999999999999999", "4294967295", "0:4294967295", "9" * 5000, "root\nevil", "\x1b[31m", "u" * 600],
)
def test_users_that_nobody_can_be_are_refused(user: str) -> None:
    with pytest.raises(BadManifest, match="User is"):
        parse_config(json.dumps({"config": {"User": user}}).encode())


@pytest.mark.parametrize("user", ["", "0", "4294967294", "1000:1000", "www-data:adm", "j\u00f6rg"])
def test_users_that_somebody_may_be_are_kept(user: str) -> None:
    assert parse_config(json.dumps({"config": {"User": user}}).encode()).config.user == user


@pytest.mark.parametrize(
    "document",
    [
        {"config": {"Env": ["xy"] * 5000}},
        {"config": {"Labels": {str(number): "x" for number in range(5000)}}},
        {"config": {"Volumes": {str(number): {} for number in range(5000)}}},
        {"config": {"ExposedPorts": {str(number): {} for number in range(5000)}}},
        {"config": {"Cmd": ["x" * 1000] * 3000}},
        {"rootfs": {"diff_ids": [str(DIGEST)] * 501}},
        {"history": [{}] * 60_000},
        {"x": [[[]] * 10] * 6000},
    ],
)
def test_configs_are_bounded_by_count(document: dict[str, object]) -> None:
    with pytest.raises(BadManifest, match="more than"):
        parse_config(json.dumps(document).encode())


def test_indexes_are_bounded_by_count_and_numbers_by_size() -> None:
    entry = descriptor(OCI_MANIFEST)
    with pytest.raises(BadManifest, match="more than 1000"):
        parse_manifest(json.dumps({"manifests": [entry] * 1001}).encode())
    for size in (1 << 63, 10**400):
        with pytest.raises(BadManifest, match="size"):
            parse_manifest(manifest(layers=[{**entry, "size": size}]))
    odd = {**entry, "platform": {"os": "linux", "architecture": "arm", "variant": "v\u00b2"}}
    with pytest.raises(NoMatchingPlatform):
        choose(Index((*parse_index(odd),)), Platform("linux", "arm", "v7"))


def parse_index(*entries: dict[str, object]) -> tuple[tuple[Descriptor, Platform | None], ...]:
    parsed = parse_manifest(json.dumps({"manifests": entries}).encode())
    assert isinstance(parsed, Index)
    return parsed.entries


@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/json", "text/html"])
def test_configs_that_docker_called_otherwise_are_configs_of_dockers_manifests_only(media_type: str) -> None:
    parsed = parse_manifest(manifest(mediaType=DOCKER_MANIFEST, config=descriptor(media_type)))
    assert isinstance(parsed, Manifest)
    for kind in (OCI_MANIFEST, None):
        with pytest.raises(NotAnImage):
            parse_manifest(manifest(mediaType=kind, config=descriptor(media_type)))


@pytest.mark.parametrize(
    ("offered", "wanted", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/386", "linux/amd64", True),
        ("linux/arm", "linux/arm64", True),
        ("linux/arm64", "linux/amd64", False),
        ("linux/amd64", "linux/arm64", False),
        ("windows/amd64", "linux/amd64", False),
        ("/", "linux/amd64", True),  # an image that does not say
    ],
)
def test_an_image_of_another_architecture_is_refused(offered: str, wanted: str, runs: bool) -> None:
    platforms = Platform(*offered.split("/")), Platform(*wanted.split("/"))
    if runs:
        require_platform(*platforms)
    else:
        with pytest.raises(NoMatchingPlatform, match=f"for {offered}, and this node is {wanted}"):
            require_platform(*platforms)
