"""storage/images: what a store costs before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.images import Images, Options
from storage.registry.registries_conf import BadRegistriesConf, RegistryBlocked


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


@pytest.mark.parametrize("text", ["x = [", "registries = 1", "[[registry]]\ninsecure = true"])
async def test_a_registries_conf_that_cannot_be_used_fails_pulls_and_nothing_else(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "registries.conf"
    file.write_text(text)
    options = Options(registries_conf=file, policy_file=tmp_path / "none", auth_files=[])
    store = await Images.open(tmp_path / "store", options)
    assert f"no image can be pulled until this is mended: {file}" in caplog.text
    assert store.list() == []
    with pytest.raises(BadRegistriesConf, match=str(file)):
        await store.pull("127.0.0.1:1/a:1")
    await store.close()


async def test_what_was_passed_over_in_registries_conf_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "registries.conf"
    file.write_text('new = 1\n[[registry]]\nlocation = "a.test"\nblocked = true\n')
    options = Options(registries_conf=file, policy_file=tmp_path / "none", auth_files=[])
    store = await Images.open(tmp_path / "store", options)
    for _ in range(2):
        with pytest.raises(RegistryBlocked):
            await store.pull("a.test/a:1")
    assert caplog.text.count("unknown key 'new'") == 1
    await store.close()
