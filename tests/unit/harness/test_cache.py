"""Things made once: complete or absent, and made again when what they are made of changes."""

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cache import ANNOUNCED, cache_root, cached, key_of

THIS_MAKER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODWRIGHT_CACHE", str(tmp_path))
    return tmp_path


class Maker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0

    def __call__(self, target: Path) -> None:
        self.calls += 1
        (target / "file").write_text(self.text)


def test_a_thing_is_made_once(private_cache: Path) -> None:
    make = Maker("x")
    there = private_cache / f"kind/key-{THIS_MAKER}"
    assert cached("kind", "key", make) == cached("kind", "key", make) == there
    assert make.calls == 1


def test_what_another_text_of_the_maker_has_left_is_not_taken(
    private_cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path_factory.mktemp("source") / "maker_of_things.py"
    monkeypatch.syspath_prepend(module.parent)
    module.write_text("def make(target): (target / 'flat').touch()")
    make: Callable[[Path], None] = importlib.import_module("maker_of_things").make
    flat = cached("kind", "key", make)
    module.write_text("def make(target): (target / 'tree').mkdir()")
    assert cached("kind", "key", make) != flat


def test_of_a_kind_that_is_often_made_anew_those_used_last_stay(private_cache: Path) -> None:
    for time, key in enumerate(("first", "second", "third")):
        os.utime(cached("kind", key, Maker(key)), (time, time))
    cached("kind", "first", Maker("first"))
    cached("kind", "fourth", Maker("fourth"), keep=2)
    left = {path.name for path in (private_cache / "kind").iterdir() if path.is_dir()}
    assert left == {f"first-{THIS_MAKER}", f"fourth-{THIS_MAKER}"}


def test_another_key_is_another_thing() -> None:
    assert (cached("kind", "one", Maker("1")) / "file").read_text() == "1"
    assert (cached("kind", "two", Maker("2")) / "file").read_text() == "2"


def test_a_failing_maker_leaves_nothing_and_the_next_one_succeeds(private_cache: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cached("kind", "key", fail)
    lock = f".key-{THIS_MAKER}.lock"
    assert [path.name for path in (private_cache / "kind").iterdir()] == [lock]
    assert [path.name for path in cached("kind", "key", Maker("x")).iterdir()] == ["file"]


def test_rubbish_of_a_crash_is_swept(private_cache: Path) -> None:
    rubbish = private_cache / f"kind/.key-{THIS_MAKER}-dead"
    rubbish.mkdir(parents=True)
    cached("kind", "key", Maker("x"))
    assert not rubbish.exists()


def test_keys_tell_their_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("ab", b"c") == key_of("ab", "c")


@pytest.mark.parametrize(
    ("env", "root"),
    [
        ({"PODWRIGHT_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"PODWRIGHT_CACHE": "", "XDG_CACHE_HOME": "/b"}, "/b/podwright"),
        ({"PODWRIGHT_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/podwright"),
    ],
)
def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], root: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(root)


def test_what_takes_long_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    cached("wheels", "key", Maker("x"))
    assert capsys.readouterr().err == f"{ANNOUNCED['wheels']}\n"
    cached("wheels", "key", Maker("x"))
    assert capsys.readouterr().err == ""
