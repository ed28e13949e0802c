"""storage/sealed: a file is what was written, or known not to be."""

import json
from pathlib import Path

import pytest

from storage.digest import Digest
from storage.sealed import SavedDamaged, holds, sealed, unsealed


def test_what_was_sealed_is_read_again() -> None:
    assert unsealed(sealed({"a": [1, "\N{SNOWMAN}"]})) == {"a": [1, "\N{SNOWMAN}"]}


@pytest.mark.parametrize("line", [b"[]", b"1", b"{", b"\xff", b"[" * 100_000])
def test_a_right_seal_over_something_else_is_damage(line: bytes) -> None:
    with pytest.raises(SavedDamaged):
        unsealed(Digest.of(line).hex.encode() + b"\n" + line + b"\n")


def test_a_file_holds_its_bytes_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not holds(path, b"")
    path.write_bytes(json.dumps({}).encode())
    assert holds(path, b"{}")
    assert not holds(path, b"[]")
