"""storage/unpack/tree: which names are let in (what it writes is tested as root, against the kernel)."""

import pytest

from storage.unpack.faults import Kind, LayerFault
from storage.unpack.tree import split_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"a", (b"", b"a")),
        (b"./a/b", (b"a", b"b")),
        (b"a//b/", (b"a", b"b")),
        (b"./", (b"", b"")),
        (b"", (b"", b"")),
        (b"/", (b"", b"")),
        (b"//a", (b"", b"a")),
        (b"/a/b", (b"a", b"b")),
        (b"a/..b", (b"a", b"..b")),
        (b"a/.wh.b", (b"a", b".wh.b")),
        (b"a/..", (b"", b"")),
        (b"a/../b", (b"", b"b")),
        (b"/u/v/../w", (b"u", b"w")),
    ],
)
def test_honest_names(name: bytes, parts: tuple[bytes, bytes]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize(
    "name",
    [b"..", b"/..", b"/../a", b"a/../..", b"../a", b"a/../../b", b".wh.a/b", b"a/.wh..wh.plnk/1", b"a\0b"],
)
def test_hostile_names(name: bytes) -> None:
    with pytest.raises(LayerFault) as caught:
        split_name(name)
    assert caught.value.kind is Kind.HOSTILE
