"""storage/images: what a store costs before it is used."""

import subprocess
import sys
from pathlib import Path

from storage.images import Images, Options


def test_the_store_loads_no_http_library_until_a_pull() -> None:
    program = "import sys, storage.images, storage.overlay; print('aiohttp' in sys.modules)"
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "False\n"


async def test_an_empty_store_answers_and_unknown_images_are_no_error(tmp_path: Path) -> None:
    options = Options(registries_conf=tmp_path / "none", policy_file=tmp_path / "none", auth_files=[])
    store = await Images.open(tmp_path / "store", options)
    assert store.list() == []
    assert store.find("busybox") is None
    await store.remove("sha256:" + "0" * 64)
    usage = store.fs_info()
    assert (usage.mountpoint, usage.used_bytes, usage.inodes_used) == (tmp_path / "store", 0, 0)
    await store.close()
