"""Lower directories of overlays; what is mounted of them is in the integration tests."""

import os
from pathlib import Path
from typing import Any, cast

from storage.lower import LowerDirectories


def test_the_root_of_an_image_without_layers_is_an_ordinary_directory_behind_a_closed_one(
    tmp_path: Path,
) -> None:
    own = os.umask(0o077)
    try:
        paths = {LowerDirectories(tmp_path, cast(Any, None)).empty for _ in range(2)}
    finally:
        os.umask(own)
    (path,) = paths
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o755, 0o700]
