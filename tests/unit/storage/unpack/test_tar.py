"""storage/unpack/tar: hand-made headers, and whatever Python's tarfile writes."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.tar import BLOCK, Entry, Reader, Source, Type, parse_number, parse_pax, parse_time

END = bytes(2 * BLOCK)


def header(name: bytes = b"file", *, flag: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """A ustar header with a right checksum; ``fields`` replace raw fields."""
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[108:116] = fields.get("uid", b"0000001\0")
    block[116:124] = b"0000002\0"
    block[124:136] = fields.get("raw_size", f"{size:011o}\0".encode())
    block[136:148] = fields.get("mtime", b"00000000007\0")
    block[156:157] = flag
    link = fields.get("link", b"")
    block[157 : 157 + len(link)] = link
    block[257:265] = fields.get("magic", b"ustar\x0000")
    prefix = fields.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def pax(**records: bytes) -> bytes:
    """Pax records; ``__`` in a key stands for a dot."""
    result = b""
    for key, value in records.items():
        body = b" " + key.replace("__", ".").encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        result += str(length).encode() + body
    return result


def extended(flag: bytes, data: bytes) -> bytes:
    return header(b"ext", flag=flag, size=len(data)) + padded(data)


def entries(data: bytes, limits: Limits | None = None, chunk: int = 700) -> list[Entry]:
    """All entries of an archive that arrives in small chunks."""
    pieces = (data[start : start + chunk] for start in range(0, len(data), chunk))
    return list(Reader(Source(pieces), limits or Limits()))


def test_a_plain_header() -> None:
    [entry] = entries(header() + END)
    assert entry == Entry(b"file", Type.FILE, b"", 0o644, 1, 2, 0, 7 * 10**9, ())


def test_names_longer_than_a_header_in_all_three_ways() -> None:
    name = b"d/" * 150 + b"file"
    archive = (
        extended(b"x", pax(path=name))
        + header()
        + extended(b"L", name + b"\0")
        + header()
        + header(b"b", prefix=b"a")
    )
    assert [entry.name for entry in entries(archive + END)] == [name, name, b"a/b"]


def test_gnu_archives_have_no_prefix() -> None:
    [entry] = entries(header(b"b", magic=b"ustar  \0", prefix=b"1234567") + END)
    assert entry.name == b"b"


def test_long_links_and_pax_fields() -> None:
    link = b"t" * 300
    records = pax(mtime=b"12.5", uid=b"3000000", gid=b"7", SCHILY__xattr__user__a=b"v=\n1", comment=b"x")
    [first, second] = entries(
        extended(b"K", link) + header(flag=b"2") + extended(b"x", records) + header() + END
    )
    assert (first.type, first.link) == (Type.SYMLINK, link)
    assert (second.mtime_ns, second.uid, second.gid) == (12_500_000_000, 3_000_000, 7)
    assert second.xattrs == (("user.a", b"v=\n1"),)


def test_global_headers_hold_until_replaced_and_local_ones_win() -> None:
    archive = extended(b"g", pax(uid=b"10")) + header() + extended(b"x", pax(uid=b"11")) + header() + header()
    assert [entry.uid for entry in entries(archive + END)] == [10, 11, 10]


def test_a_pax_size_counts_the_content() -> None:
    archive = extended(b"x", pax(size=b"600")) + header(size=0) + padded(b"c" * 600) + header(b"next") + END
    assert [(entry.name, entry.size) for entry in entries(archive)] == [(b"file", 600), (b"next", 0)]


def test_old_ways_of_saying_directory_and_file() -> None:
    archive = header(b"d/", flag=b"\0") + header(b"f", flag=b"\0") + header(b"g", flag=b"7") + END
    assert [entry.type for entry in entries(archive)] == [Type.DIRECTORY, Type.FILE, Type.FILE]


def test_only_files_have_content() -> None:
    assert [
        entry.size for entry in entries(header(flag=b"5", size=100) + header(flag=b"2", size=9) + END)
    ] == [0, 0]


def test_content_goes_to_a_descriptor_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    archive = header(b"a", size=1500) + padded(b"a" * 1500) + header(b"b", size=3) + padded(b"bbb") + END
    reader = Reader(Source(iter([archive])), Limits())
    with (tmp_path / "out").open("wb") as file:
        for entry in reader:
            if entry.name == b"b":
                reader.copy_content(file.fileno())
    assert (tmp_path / "out").read_bytes() == b"bbb"


@pytest.mark.parametrize("end", [END, b"", bytes(BLOCK), bytes(20 * BLOCK)])
def test_every_usual_ending(end: bytes) -> None:
    assert len(entries(header() + end)) == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (header()[:300], Kind.TRUNCATED),
        (header(size=1000) + b"x" * 600, Kind.TRUNCATED),
        (extended(b"x", pax(path=b"p" * 2000))[:900], Kind.TRUNCATED),
        (b"1" + header()[1:], Kind.CORRUPT),
        (header() + END + b"garbage", Kind.CORRUPT),
        (header() + bytes(BLOCK) + header(), Kind.CORRUPT),
        (header(size=1) + padded(b"x") + b"\xff" * BLOCK, Kind.CORRUPT),
        (header(raw_size=b"zzzzzzzzzzz\0"), Kind.CORRUPT),
        (header(raw_size=b"\xff" * 12) + END, Kind.CORRUPT),
        (header(uid=b"0o17   \0"), Kind.CORRUPT),
        (extended(b"x", b"5 a=b\n") + header(), Kind.CORRUPT),
        (extended(b"x", pax(uid=b"-1")) + header(), Kind.CORRUPT),
        (extended(b"x", pax(mtime=b"x")) + header(), Kind.CORRUPT),
        (header(flag=b"S"), Kind.UNSUPPORTED),
        (extended(b"x", pax(GNU__sparse__major=b"1")) + header(), Kind.UNSUPPORTED),
        (header(flag=b"V"), Kind.UNSUPPORTED),
        (header(flag=b"x", size=2 << 20), Kind.TOO_LARGE),
        (extended(b"x", pax(path=b"p" * 5000)) + header(), Kind.TOO_LARGE),
        # What fits into a header and into no file.
        (header(uid=b"\x80" + b"\xff" * 7), Kind.CORRUPT),
        (header(uid=b"\xff" * 8), Kind.CORRUPT),
        (extended(b"x", pax(uid=b"4294967295")) + header(), Kind.CORRUPT),
        (extended(b"x", pax(gid=b"9" * 20)) + header(), Kind.CORRUPT),
        (extended(b"x", pax(size=b"9" * 20)) + header(), Kind.CORRUPT),
        (header(raw_size=b"\x80" + b"\xff" * 11), Kind.CORRUPT),
        (header(mtime=b"\x80" + b"\x7f" * 11), Kind.CORRUPT),
        (header(mtime=b"\xff" + b"\x00" * 11), Kind.CORRUPT),
        (extended(b"x", pax(mtime=b"1" * 20)) + header(), Kind.CORRUPT),
        (extended(b"x", pax(mtime=b"1" * 5000)) + header(), Kind.CORRUPT),
        (extended(b"x", pax(linkpath=b"a\0b")) + header(flag=b"2"), Kind.HOSTILE),
        (extended(b"K", b"a\0b\0") + header(flag=b"2"), Kind.HOSTILE),
        (extended(b"x", pax(linkpath=b"l" * 5000)) + header(flag=b"1"), Kind.CORRUPT),
        (extended(b"x", pax(**{"SCHILY__xattr__user__a\0": b"x"})) + header(), Kind.HOSTILE),
        (extended(b"x", pax(SCHILY__xattr__=b"x")) + header(), Kind.HOSTILE),
        (extended(b"x", pax(**{"SCHILY__xattr__" + "a" * 256: b"x"})) + header(), Kind.HOSTILE),
        (extended(b"x", pax(SCHILY__xattr__user__a=b"x" * 70_000)) + header(), Kind.HOSTILE),
        (extended(b"x", b"".join(pax(**{f"k{n}": b""}) for n in range(5000))) + header(), Kind.TOO_LARGE),
    ],
)
def test_faults_are_told_apart(data: bytes, kind: Kind) -> None:
    with pytest.raises(LayerFault) as caught:
        entries(data)
    assert caught.value.kind is kind


def test_the_number_of_entries_is_bounded() -> None:
    archive = header() * 5 + END
    assert len(entries(archive, Limits(entries=5))) == 5
    with pytest.raises(LayerFault, match="more than 4 entries"):
        entries(archive, Limits(entries=4))


def test_headers_that_no_entry_follows_are_bounded_too() -> None:
    with pytest.raises(LayerFault, match="more than 8 headers"):
        entries(extended(b"x", pax(uid=b"1")) * 9 + header() + END, Limits(entries=2))
    archive = (extended(b"L", b"n" * 400) + header()) * 3 + END
    with pytest.raises(LayerFault, match="together"):
        entries(archive, Limits(extension_bytes=1000))


@pytest.mark.parametrize("seconds", [9223372037, 9223372036854775807])
def test_a_time_beyond_64_bits_of_nanoseconds_is_the_epoch(seconds: int) -> None:
    [by_pax] = entries(extended(b"x", pax(mtime=str(seconds).encode())) + header() + END)
    [by_header] = entries(header(mtime=b"\x80\0\0\0" + seconds.to_bytes(8, "big")) + END)
    assert by_pax.mtime_ns == by_header.mtime_ns == 0


def test_global_headers_are_bounded_together() -> None:
    archive = b"".join(extended(b"g", pax(**{f"key{number}": b"v" * 500})) + header() for number in range(3))
    assert len(entries(archive + END, Limits(header_bytes=2000))) == 3
    with pytest.raises(LayerFault, match="global headers of") as caught:
        entries(archive + END, Limits(header_bytes=1000))
    assert caught.value.kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644), (b"   644 \0", 0o644), (b"\0" * 8, 0), (b" " * 8, 0), (b"7777777", 0o7777777),
        (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", 1 << 32), (b"\xff" * 12, -1),
    ],
)  # fmt: skip
def test_numbers(field: bytes, value: int) -> None:
    assert parse_number(field) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"1", 10**9), (b"1.5", 1_500_000_000), (b"1.1234567891", 1_123_456_789), (b"-1.5", -1_500_000_000)],
)
def test_times(text: bytes, value: int) -> None:
    assert parse_time(text) == value


@pytest.mark.parametrize(
    "data", [b"x", b"3 a", b"99 a=b\n", b"6 a=b\nx", b"0 \n", b"5 =b\n", b"-1 a=b\n", b"6 a=bc"]
)
def test_malformed_pax_records(data: bytes) -> None:
    with pytest.raises(LayerFault):
        parse_pax(data)


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,9}", fullmatch=True), st.binary(max_size=120), max_size=6))
def test_pax_records_read_back(records: dict[str, bytes]) -> None:
    wanted = {key.encode(): value for key, value in records.items()}
    assert parse_pax(pax(**records)) == wanted


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.text("abcé/._-", min_size=1, max_size=150), st.binary(max_size=1500)), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
def test_what_tarfile_writes_is_read(files: list[tuple[str, bytes]], kind: int, chunk: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind, encoding="utf-8") as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = entries(buffer.getvalue(), chunk=chunk)
    assert [(entry.name, entry.size) for entry in found] == [
        (name.encode(), len(data)) for name, data in files
    ]


@settings(max_examples=200)
@given(st.binary(max_size=2000) | st.builds(lambda data: header() + data, st.binary(max_size=1500)))
def test_any_bytes_are_entries_or_a_fault(data: bytes) -> None:
    try:
        found = entries(data)
    except LayerFault:
        return
    assert all(entry.size >= 0 for entry in found)


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(0, 60), max_size=20))
def test_a_source_joins_chunks(chunks: list[bytes], reads: list[int]) -> None:
    source, whole, position = Source(iter(chunks)), b"".join(chunks), 0
    for count in reads:
        assert source.read(count) == whole[position : position + count]
        position = min(position + count, len(whole))


def test_a_source_reports_what_is_missing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"abc"
        yield b""
        yield b"def"

    assert Source(chunks()).skip(10) == 4
    descriptor = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    try:
        assert Source(chunks()).copy(descriptor, 10) == 4
    finally:
        os.close(descriptor)
    assert (tmp_path / "out").read_bytes() == b"abcdef"
