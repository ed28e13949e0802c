"""What tells one release of the monitor from another."""

import os
from pathlib import Path

import pytest

from oci.monitor import release


def test_it_changes_with_the_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in release.PARTS:
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
    module = tmp_path / "oci/monitor/node.py"
    module.write_text("one")
    monkeypatch.setattr(release, "_ROOT", str(tmp_path))
    first = release.identity()
    (tmp_path / "oci/monitor/__pycache__").mkdir()
    assert release.identity() == first
    os.utime(module, (1, 1))
    second = release.identity()
    (tmp_path / "host/new.py").touch()
    assert len({first, second, release.identity()}) == 3


def test_ours_is_the_same_twice() -> None:
    assert release.identity() == release.identity()
