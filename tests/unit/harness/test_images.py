"""Images made in memory: what their bytes say about one another."""

import gzip
import io
import json
import tarfile
from pathlib import Path

from tests.harness.images import Entry, Image, Layer, digest_of

IMAGE = Image(
    [Layer.of([Entry("bin"), Entry("bin/sh", b"#!", 0o4755), Entry("bin/ls", link="bin/sh", hard=True)])],
    {"Cmd": ["sh"]},
)


def test_the_same_entries_give_the_same_bytes() -> None:
    assert Layer.of([Entry("a", b"1")]) == Layer.of([Entry("a", b"1")])
    assert Layer.of([Entry("a", b"1")]) != Layer.of([Entry("a", b"2")])


def test_a_layer_holds_what_was_put_in() -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(IMAGE.layers[0].blob))) as tar:
        members = [(one.name, one.type, one.mode, one.linkname) for one in tar.getmembers()]
    assert members == [
        ("bin", tarfile.DIRTYPE, 0o755, ""),
        ("bin/sh", tarfile.REGTYPE, 0o4755, ""),
        ("bin/ls", tarfile.LNKTYPE, 0o755, "bin/sh"),
    ]


def test_manifest_and_config_name_each_other_by_digest() -> None:
    manifest = json.loads(IMAGE.manifest_bytes())
    config = json.loads(IMAGE.config_bytes())
    assert manifest["config"]["digest"] == IMAGE.id == digest_of(IMAGE.config_bytes())
    assert manifest["layers"][0]["digest"] == digest_of(IMAGE.layers[0].blob)
    assert config["rootfs"]["diff_ids"] == [digest_of(gzip.decompress(IMAGE.layers[0].blob))]


def test_a_docker_archive_lists_config_and_layers(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    IMAGE.write_docker_archive(path, "localhost/x:1")
    with tarfile.open(path) as tar:
        names = set(tar.getnames())
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        [entry] = json.load(manifest)
    assert entry["RepoTags"] == ["localhost/x:1"]
    assert {entry["Config"], *entry["Layers"]} < names
