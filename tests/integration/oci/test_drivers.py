"""The drivers' own commands against real runtimes."""

import signal

import pytest

from api.ids import new_container_id
from oci.runtime import ContainerGone
from tests.integration.oci.conftest import Workshop, cgroup_directories

pytestmark = pytest.mark.root


def limits() -> list[int]:
    """Memory limits of all containers of this test."""
    names = ("memory.limit_in_bytes", "memory.max")
    files = [path for root in cgroup_directories() for name in names for path in root.glob(f"*/{name}")]
    return [int(path.read_text()) for path in files]


async def test_state_update_kill_and_delete(workshop: Workshop) -> None:
    container_id = await workshop.create("/bin/sleep", "600", memory=64 << 20)
    assert (await workshop.runtime.state(container_id) or {})["status"] == "created"
    await workshop.monitor.start(container_id, workshop.runtime)
    assert (await workshop.runtime.state(container_id) or {})["status"] == "running"
    assert limits() == [64 << 20]
    await workshop.runtime.update(container_id, {"memory": {"limit": 32 << 20}})
    assert limits() == [32 << 20]
    await workshop.runtime.kill(container_id, signal.SIGKILL, everything=True)
    assert (await workshop.exit_of(container_id)).exit_code == 137
    with pytest.raises(ContainerGone):
        await workshop.runtime.kill(container_id, signal.SIGTERM)
    await workshop.runtime.delete(container_id)
    assert limits() == []
    assert await workshop.runtime.state(container_id) is None


async def test_the_unknown_is_gone(workshop: Workshop) -> None:
    unknown = new_container_id()
    assert await workshop.runtime.state(unknown) is None
    await workshop.runtime.delete(unknown)
    await workshop.runtime.delete(unknown, force=True)
    with pytest.raises(ContainerGone):
        await workshop.runtime.kill(unknown, signal.SIGTERM)


async def test_version_and_features_are_what_the_program_says(workshop: Workshop) -> None:
    assert workshop.runtime.path.name in await workshop.runtime.version()
    features = await workshop.runtime.features()
    assert features is None or "ociVersionMin" in features
