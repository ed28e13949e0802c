"""Comparing what was there before with what is there after."""

from collections import Counter
from pathlib import Path

from tests.harness.counts import Counts


def counts(**kinds: list[str]) -> Counts:
    return Counts({kind: Counter(names) for kind, names in kinds.items()})


def test_nothing_is_left_when_nothing_was_added() -> None:
    assert counts(mount=["/", "/run"]).left_over(counts(mount=["/run", "/"])) == []


def test_what_is_left_is_named_with_its_kind() -> None:
    before = counts(mount=["/"], link=["lo"])
    after = counts(mount=["/", "/run/x"], link=["lo", "veth0"])
    assert before.left_over(after) == ["mount: /run/x", "link: veth0"]


def test_a_mount_on_top_of_another_counts() -> None:
    assert counts(mount=["/a"]).left_over(counts(mount=["/a", "/a", "/a"])) == ["mount: /a (2 times)"]


def test_what_went_away_is_not_left() -> None:
    assert counts(process=["1 init", "9 sleep"]).left_over(counts(process=["1 init"])) == []


def test_a_file_that_appeared_is_found(tmp_path: Path) -> None:
    before = Counts.take([tmp_path])
    (tmp_path / "record").touch()
    found = [line for line in before.left_over(Counts.take([tmp_path])) if line.startswith("file")]
    assert found == [f"file: {tmp_path}/record"]
