"""storage/images: what a store costs before it is used."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from storage.catalogue import Image
from storage.images import Images
from storage.options import Options
from storage.pull import Pull
from storage.pulls import PullTookTooLong
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


class Held:
    """Pulls that run until they are let go; how many began, and how many were undone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.undone = 0
        self.free = asyncio.Event()

        async def run(pull: Pull, watch: object) -> Image:
            self.begun += 1
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                self.undone += 1
                raise
            raise LookupError(str(pull))

        monkeypatch.setattr(Pull, "run", run)

    async def starts(self, number: int) -> None:
        while self.begun < number:
            await asyncio.sleep(0.001)

    async def ends(self, number: int) -> None:
        while self.undone < number:
            await asyncio.sleep(0.001)


def options(tmp_path: Path, **more: float) -> Options:
    return Options(registries_conf=tmp_path / "none", policy_file=tmp_path / "none", auth_files=[], **more)  # type: ignore[arg-type]


async def test_a_pull_for_which_nobody_waits_ends_and_a_later_one_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    store = await Images.open(tmp_path / "store", options(tmp_path, abandoned_s=0.0))
    callers = [asyncio.create_task(store.pull("q.io/a")) for _ in range(2)]
    await held.starts(1)
    callers[0].cancel()
    await asyncio.gather(callers[0], return_exceptions=True)
    assert held.undone == 0, "the other waits"
    callers[1].cancel()
    await held.ends(1)
    again = asyncio.create_task(store.pull("q.io/a"))
    await held.starts(2)
    held.free.set()
    with pytest.raises(LookupError):
        await again
    await store.close()


async def test_who_comes_back_in_time_finds_the_pull_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    store = await Images.open(tmp_path / "store", options(tmp_path, abandoned_s=3600.0))
    first = asyncio.create_task(store.pull("q.io/a"))
    await held.starts(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    again = asyncio.create_task(store.pull("q.io/a"))
    await asyncio.sleep(0.01)
    held.free.set()
    with pytest.raises(LookupError):
        await again
    assert (held.begun, held.undone) == (1, 0)
    await store.close()


async def test_a_pull_has_a_deadline_however_many_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    store = await Images.open(tmp_path / "store", options(tmp_path, pull_deadline_s=0.05))
    results = await asyncio.gather(*(store.pull("q.io/a") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [PullTookTooLong] * 3
    assert (held.begun, held.undone) == (1, 1)
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
