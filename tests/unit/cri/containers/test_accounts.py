"""The account files of an image: read inside its root, completed beside it, and never made of a part."""

import os
from pathlib import Path

import pytest

from cri.containers.accounts import Accounts
from host import mounts
from oci.generate.identity import FILE_LIMIT
from oci.generate.inputs import BadContainer, SecurityContext

OWNER = (os.getuid(), os.getgid())


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mounts, "mount_tmpfs", lambda *_: None)
    (tmp_path / "rootfs/etc").mkdir(parents=True)
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


def test_a_file_that_lacks_the_user_is_completed(bundle: Path) -> None:
    rootfs = bundle.parent / "rootfs"
    (rootfs / "etc/passwd").write_bytes(b"root:x:0:0::/root:/bin/sh")
    who, made = Accounts().resolve(rootfs, SecurityContext(run_as_user=5), "", bundle, OWNER)
    assert who.uid == 5
    assert made == {"passwd": bundle / "files/passwd"}
    assert made["passwd"].read_bytes().startswith(b"root:x:0:0::/root:/bin/sh\n5:x:5:0:")


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_a_file_beyond_the_limit_is_refused(bundle: Path, name: str) -> None:
    rootfs = bundle.parent / "rootfs"
    (rootfs / "etc" / name).write_bytes(b"#" * FILE_LIMIT)
    who, _ = Accounts().resolve(rootfs, SecurityContext(run_as_user=5), "", bundle, OWNER)
    assert who.uid == 5
    (rootfs / "etc" / name).write_bytes(b"#" * (FILE_LIMIT + 1))
    with pytest.raises(BadContainer, match=f"/etc/{name}"):
        Accounts().resolve(rootfs, SecurityContext(run_as_user=5), "", bundle, OWNER)


def test_groups_that_would_mislead_the_runtime_are_taken_out(bundle: Path) -> None:
    rootfs = bundle.parent / "rootfs"
    (rootfs / "etc/passwd").write_bytes(b"me:x:5:5::/:/x\n")
    (rootfs / "etc/group").write_bytes(b"2000:x:0:\nfive:x:5:\n7:x:7:\n8:x:0:\n")
    wanted = SecurityContext(run_as_user=5, supplemental_groups=(7, 2000))
    _, made = Accounts().resolve(rootfs, wanted, "", bundle, OWNER)
    assert made["group"].read_bytes() == b"five:x:5:\n7:x:7:\n8:x:0:\n"


def test_no_link_leads_out_of_the_root(bundle: Path) -> None:
    rootfs = bundle.parent / "rootfs"
    (bundle.parent / "outside").write_bytes(b"5:x:0:0::/:/x\nfive:x:5:6::/secret:/x\n")
    (rootfs / "etc/passwd").symlink_to(bundle.parent / "outside")
    who, _ = Accounts().resolve(rootfs, SecurityContext(run_as_user=5), "", bundle, OWNER)
    assert (who.uid, who.gid, who.home) == (5, 0, "/")
