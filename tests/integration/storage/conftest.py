"""A registry, a store that finds it by its host and as registry.test, and the count of what a store holds."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from host.mounts import MNT_DETACH, mountpoints_below, umount
from storage.images import Images
from storage.options import Options
from storage.registry.options import ClientOptions
from storage.unpack.faults import Limits
from tests.integration.storage.support import Registry, names, running_registry

OpenStore = Callable[..., AbstractAsyncContextManager[Images]]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    """``open_store(host)``: a store whose registry.test is at ``host``, both by plain HTTP."""

    @contextlib.asynccontextmanager
    async def opened(
        host: str,
        *,
        limits: Limits | None = None,
        auth_file: Path | None = None,
        insecure: Sequence[str] = (),
        **more: Any,
    ) -> AsyncIterator[Images]:
        conf = tmp_path / "registries.conf"
        conf.write_text(
            "".join(
                f'[[registry]]\nprefix = "{prefix}"\nlocation = "{host}"\ninsecure = true\n'
                for prefix in ("registry.test", host)
            )
        )
        options = Options(
            registries_conf=conf,
            policy_file=tmp_path / "no-policy.json",
            auth_files=[auth_file] if auth_file else [],
            limits=limits or Limits(),
            client=ClientOptions(backoff_s=0.01, stall_timeout_s=20),
            insecure_registries=insecure,
            **more,
        )
        store = await Images.open(tmp_path / "store", options)
        try:
            yield store
        finally:
            await store.close()

    yield opened
    for path in mountpoints_below(tmp_path):
        umount(path, MNT_DETACH)


def contents(store: Images) -> dict[str, int]:
    """How much of everything a store holds: files and directories, layers, rows."""
    result = {
        "layers": len(names(store.root / "layers")),
        "ingest": len(names(store.root / "ingest")),
        "top": len([name for name in names(store.root) if not name.startswith("catalogue.db-")]),
    }
    for table in ("images", "tags", "digests", "image_layers", "rootfs", "rootfs_layers"):
        [(count,)] = store.database.read(f"SELECT count(*) FROM {table}")
        result[table] = int(str(count))
    return result
