"""storage/unpack/sparse: files with holes as GNU tar writes them."""

import io
import subprocess
from pathlib import Path

import pytest

from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.sparse import Sparse, read_sparse
from storage.unpack.tar import BLOCK, Reader, Source
from tests.unit.storage.unpack.test_tar import END, extended, header, padded, pax

SIZE = 5 << 20
MIB3 = 3 << 20


def unpacked(archive: bytes, out: Path, limits: Limits | None = None) -> dict[bytes, bytes]:
    """Name and content of every file of an archive that comes in small chunks."""
    chunks = iter([archive[start : start + 700] for start in range(0, len(archive), 700)])
    reader = Reader(Source(chunks), limits or Limits())
    found = {}
    for entry in reader:
        with out.open("w+b") as file:
            reader.copy_content(file.fileno())
            file.seek(0)
            found[entry.name] = file.read()
            assert len(found[entry.name]) == entry.size
    return found


@pytest.mark.parametrize("form", ["0.0", "0.1", "1.0"])
@pytest.mark.parametrize("ending", [b"tail", b""])
def test_what_gnu_tar_writes_is_read(form: str, ending: bytes, tmp_path: Path) -> None:
    content = (b"head".ljust(MIB3, b"\0") + ending).ljust(SIZE, b"\0")
    with (tmp_path / "disk.img").open("wb") as file:
        file.write(b"head")
        file.seek(MIB3)
        file.write(ending)
        file.truncate(SIZE)
    (tmp_path / "next").write_bytes(b"next")
    command = ["tar", "-C", str(tmp_path), "--sparse", "--format=posix", f"--sparse-version={form}", "-c"]
    made = subprocess.run([*command, "disk.img", "next"], stdout=subprocess.PIPE, check=True, timeout=60)
    assert len(made.stdout) < SIZE, "tar found the holes"
    assert unpacked(made.stdout, tmp_path / "out") == {b"disk.img": content, b"next": b"next"}


def sparse_1_0(text: bytes, data: bytes, size: int) -> bytes:
    """A file of the form 1.0 with this map."""
    content = padded(text) + data
    told = pax(
        GNU__sparse__major=b"1",
        GNU__sparse__minor=b"0",
        GNU__sparse__name=b"f",
        GNU__sparse__realsize=str(size).encode(),
    )
    return extended(b"x", told) + header(size=len(content)) + padded(content) + END


def sparse_0_1(pieces: bytes, data: bytes, size: bytes = b"100") -> bytes:
    told = pax(GNU__sparse__map=pieces, GNU__sparse__size=size, GNU__sparse__name=b"f")
    return extended(b"x", told) + header(size=len(data)) + padded(data) + END


def test_a_map_of_many_blocks(tmp_path: Path) -> None:
    count = 300
    text = str(count).encode() + b"\n" + b"".join(b"%d\n1\n" % (number * 10) for number in range(count))
    archive = sparse_1_0(text, b"x" * count, count * 10)
    assert unpacked(archive, tmp_path / "out") == {b"f": (b"x" + bytes(9)) * count}


def test_a_file_of_nothing_but_a_hole(tmp_path: Path) -> None:
    assert unpacked(sparse_1_0(b"0\n", b"", 1000), tmp_path / "out") == {b"f": bytes(1000)}
    assert unpacked(sparse_0_1(b"100,0", b""), tmp_path / "out") == {b"f": bytes(100)}


def test_records_of_another_matter_tell_of_no_sparse_file() -> None:
    assert read_sparse({b"path": b"a", b"GNU.sparse.size": b"5"}, io.BytesIO().read, BLOCK, 7) is None
    found = read_sparse({b"GNU.sparse.map": b"1,2"}, io.BytesIO().read, BLOCK, 7)
    assert found == Sparse(b"", 7, ((1, 2),))
    assert found.stored == 2


BROKEN = {
    "half a piece": (sparse_0_1(b"0,1,2", b"x"), Kind.CORRUPT),
    "pieces that overlap": (sparse_0_1(b"0,4,3,1", b"x" * 5), Kind.CORRUPT),
    "pieces out of order": (sparse_0_1(b"50,1,0,1", b"xx"), Kind.CORRUPT),
    "a piece behind the end": (sparse_0_1(b"99,2", b"xx"), Kind.CORRUPT),
    "a piece of more than 64 bits": (sparse_0_1(b"0," + b"9" * 20, b"xx"), Kind.CORRUPT),
    "a negative piece": (sparse_0_1(b"0,-1", b""), Kind.CORRUPT),
    "less content than pieces": (sparse_0_1(b"0,9", b"xx"), Kind.CORRUPT),
    "more content than pieces": (sparse_0_1(b"0,1", b"xx"), Kind.CORRUPT),
    "a size of more than 64 bits": (sparse_0_1(b"0,1", b"x", b"9" * 20), Kind.CORRUPT),
    "larger than a layer may be": (sparse_0_1(b"0,1", b"x", b"9" * 18), Kind.TOO_LARGE),
    "a name too long": (
        extended(b"x", pax(GNU__sparse__map=b"0,0", GNU__sparse__name=b"n" * 5000)) + header() + END,
        Kind.TOO_LARGE,
    ),
    "a map that is none": (sparse_1_0(b"x\n", b"", 9), Kind.CORRUPT),
    "a map of more pieces than it has": (sparse_1_0(b"9\n0\n1\n", b"x", 9), Kind.CORRUPT),
    "a map of very many pieces": (sparse_1_0(b"9999999999\n0\n1\n", b"x" * 9000, 9), Kind.CORRUPT),
    "a map without an end": (sparse_1_0(b"1" * 4000, b"", 9), Kind.CORRUPT),
    "a form of the future": (
        extended(b"x", pax(GNU__sparse__major=b"2", GNU__sparse__minor=b"0")) + header() + END,
        Kind.UNSUPPORTED,
    ),
    "offsets without lengths": (
        extended(b"x", pax(GNU__sparse__offset=b"1") * 2) + header() + END,
        Kind.CORRUPT,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_sparse_file_that_cannot_be_followed_is_refused(name: str, tmp_path: Path) -> None:
    archive, kind = BROKEN[name]
    with pytest.raises(LayerFault) as caught:
        unpacked(archive, tmp_path / "out")
    assert caught.value.kind == kind
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size <= 100


def test_a_map_is_bounded(tmp_path: Path) -> None:
    pieces = 100_000
    text = str(pieces).encode() + b"\n" + b"".join(b"%d\n1\n" % (number * 2) for number in range(pieces))
    with pytest.raises(LayerFault) as caught:
        unpacked(
            sparse_1_0(text, b"x" * pieces, pieces * 2), tmp_path / "out", Limits(header_bytes=BLOCK * 100)
        )
    assert caught.value.kind == Kind.TOO_LARGE
