"""Mount options."""

import pytest

from oci.run.operations import Attributes
from oci.run.plan.options import known, parse

RDONLY, NOSUID, NODEV, NOEXEC, ATIME, NOATIME, STRICT, NODIRATIME = 1, 2, 4, 8, 0x70, 0x10, 0x20, 0x80
MS_REC, MS_PRIVATE, MS_SHARED = 0x4000, 0x40000, 0x100000


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ([], Attributes()),
        (["ro"], Attributes(wanted=RDONLY)),
        (["rw"], Attributes(unwanted=RDONLY)),
        (["ro", "rw"], Attributes(unwanted=RDONLY)),
        (["nosuid", "nodev", "noexec"], Attributes(wanted=NOSUID | NODEV | NOEXEC)),
        (["noatime"], Attributes(NOATIME, ATIME & ~NOATIME)),
        (["noatime", "strictatime"], Attributes(STRICT, ATIME & ~STRICT)),
        (["noatime", "relatime"], Attributes(0, ATIME)),
        (["nodiratime"], Attributes(wanted=NODIRATIME)),
        (["rro", "rnosuid"], Attributes(recursive_wanted=RDONLY | NOSUID)),
        (["ro", "rrw"], Attributes(wanted=RDONLY, recursive_unwanted=RDONLY)),
    ],
)
def test_attributes(options: list[str], attributes: Attributes) -> None:
    found = parse(options).attributes
    assert (found.wanted, found.recursive_wanted) == (attributes.wanted, attributes.recursive_wanted)
    assert found.unwanted & ~found.wanted == attributes.unwanted
    assert found.recursive_unwanted == attributes.recursive_unwanted


def test_what_is_not_known_is_the_file_systems() -> None:
    found = parse(["size=5m", "sync", "defaults", "rbind", "rprivate", "shared", "tmpcopyup", "remount", "x"])
    assert found.data == ("size=5m", "x")
    assert found.flags == ("sync",)
    assert (found.bind, found.recursive, found.remount) == (True, True, True)
    assert found.propagation == (MS_PRIVATE | MS_REC, MS_SHARED)
    assert found.extensions == {"tmpcopyup"}


def test_features_list_what_is_parsed() -> None:
    names = known()
    assert {"ro", "rro", "rbind", "rslave", "tmpcopyup", "idmap", "ridmap", "rnosymfollow"} <= set(names)
    assert all(parse([name]).data == () for name in names)
