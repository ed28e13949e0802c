"""The archive is one that another program reads."""

import subprocess
from pathlib import Path

from tests.node.initramfs import Member, archive


def test_busybox_unpacks_what_was_packed(tmp_path: Path) -> None:
    packed = archive([Member("bin"), Member("bin/sh", b"#!odd", 0o755), Member("data", b"\0" * 7, 0o640)])
    subprocess.run(["busybox", "cpio", "-id"], input=packed, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "bin/sh").read_bytes() == b"#!odd"
    assert (tmp_path / "data").read_bytes() == b"\0" * 7
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("bin", "bin/sh", "data")] == [
        0o755,
        0o755,
        0o640,
    ]


def test_every_record_begins_at_a_multiple_of_four() -> None:
    packed = archive([Member("a", b"x"), Member("abcd", b"yz")])
    places = [place for place in range(len(packed)) if packed.startswith(b"070701", place)]
    assert len(places) == 3
    assert [place % 4 for place in places] == [0, 0, 0]
