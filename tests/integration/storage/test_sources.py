"""Where a pull goes: mirrors, short names, policies, and a worker that hangs."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from storage.registry.errors import ManifestUnknown
from storage.registry.registries_conf import AmbiguousShortName, RegistryBlocked
from storage.signatures.errors import SignatureValidationFailed
from storage.unpack.faults import Limits
from storage.unpacker import Unpacker, UnpackFailed
from tests.integration.storage.conftest import OpenStore, contents
from tests.integration.storage.support import Member, Registry, build_image, sha256, tar_bytes

pytestmark = pytest.mark.root


def write_conf(path: Path, text: str) -> None:
    """Replace the registries.conf of the open store: it is read again for every pull."""
    path.joinpath("registries.conf").write_text(text)


async def test_a_dead_mirror_is_passed_over_and_named_when_all_fail(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    image = build_image([tar_bytes([Member("m", b"1")])], label="mirror")
    registry.push("mirrored/team/app", "v1", image)
    async with open_store(registry.host) as store:
        write_conf(
            tmp_path,
            f'[[registry]]\nprefix = "quay.test"\nlocation = "{registry.host}/mirrored"\ninsecure = true\n'
            '[[registry.mirror]]\nlocation = "127.0.0.1:1"\ninsecure = true\n',
        )
        pulled = await store.pull("quay.test/team/app:v1")
        assert pulled.id == sha256(image.config)
        assert pulled.repo_tags == ("quay.test/team/app:v1",)
        with pytest.raises(ManifestUnknown, match=r"HTTP 404.*tried before: .*127\.0\.0\.1:1"):
            await store.pull("quay.test/team/app:v2")


async def test_short_names_blocks_and_policies(
    registry: Registry, open_store: OpenStore, tmp_path: Path
) -> None:
    registry.push("team/short", "latest", build_image([tar_bytes([Member("s", b"1")])], label="short"))
    async with open_store(registry.host) as store:
        local = f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n'
        write_conf(tmp_path, f'unqualified-search-registries = ["{registry.host}"]\n{local}')
        image = await store.pull("team/short")
        assert image.repo_tags == (f"{registry.host}/team/short:latest",)
        assert store.find("team/short") == image
        write_conf(tmp_path, f'unqualified-search-registries = ["{registry.host}", "b.test"]\n{local}')
        with pytest.raises(AmbiguousShortName):
            await store.pull("team/short")
        write_conf(tmp_path, f"{local}blocked = true\n")
        with pytest.raises(RegistryBlocked):
            await store.pull(f"{registry.host}/team/short")
        policy = tmp_path / "policy.json"
        policy.write_text('{"default": [{"type": "reject"}]}')
        write_conf(tmp_path, local)
        store.reconfigure(replace(store.options, policy_file=policy))
        with pytest.raises(SignatureValidationFailed, match=r"^SignatureValidationFailed"):
            await store.pull(f"{registry.host}/team/short")


async def test_a_hanging_unpack_process_is_killed(
    registry: Registry, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push("team/hangs", "v1", build_image([tar_bytes([Member("h", os.urandom(5_000_000))])]))
    original = asyncio.create_subprocess_exec
    started: list[asyncio.subprocess.Process] = []

    async def start_and_stop(*arguments: str, **options: object) -> asyncio.subprocess.Process:
        process = await original(*arguments, **options)  # type: ignore[arg-type]
        process.send_signal(signal.SIGSTOP)
        started.append(process)
        return process

    async with open_store(registry.host) as store:
        before = contents(store)
        store.layers._unpacker = Unpacker(Limits(), stall_timeout_s=0.3)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", start_and_stop)
        with pytest.raises(UnpackFailed, match="did nothing for"):
            await store.pull("registry.test/team/hangs:v1")
        assert contents(store) == before
        assert [process.returncode for process in started] == [-signal.SIGKILL]
