"""storage/manifest: indexes, manifests, configs and the choice of a platform."""

import json
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
    parsed = parse_manifest(manifest(mediaType=media_type), OCI_MANIFEST)
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
