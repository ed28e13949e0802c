"""Every form of layers on disk keeps the one contract."""

from pathlib import Path

import pytest

from storage.snapshots.directories import Directories
from tests.contract.snapshots import SnapshotsContract

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


class TestDirectories(SnapshotsContract):
    @pytest.fixture
    def snapshots(self) -> Directories:
        return Directories()
