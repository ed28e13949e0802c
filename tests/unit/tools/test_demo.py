from pathlib import Path

import pytest

from tools import demo

OURS = {"ipc": "ipc:[1]", "mnt": "mnt:[2]", "net": "net:[3]"}


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        ({"ipc": "ipc:[4]", "mnt": "mnt:[5]", "net": "net:[6]"}, []),
        ({"ipc": "ipc:[4]", "mnt": "mnt:[2]", "net": "net:[6]"}, ["mnt"]),
        (OURS, ["ipc", "mnt", "net"]),
    ],
)
def test_a_namespace_that_is_shared_is_named(theirs: dict[str, str], same: list[str]) -> None:
    assert demo.shared(OURS, theirs) == same


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert demo.table([("A", "B"), ("long", "x"), ("y", "longer")]) == "A     B\nlong  x\ny     longer"


def test_crictl_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PODWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PODWRIGHT_PREFETCHED", raising=False)
    assert demo.find_crictl() is None
    built = tmp_path / "cache/tools/crictl-1/crictl"
    built.parent.mkdir(parents=True)
    built.touch()
    assert demo.find_crictl() == built
