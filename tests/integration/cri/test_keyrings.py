"""Session keyrings: no namespace has them, so each process gets one that is not the daemon's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOREVER = ("sleep", "1000000")


@pytest.fixture(autouse=True)
def _remove_pods(client: Client, nothing_left: None) -> Iterator[None]:
    yield
    client.remove_all()


def _own(listed: str) -> set[str]:
    """The session keyrings of a /proc/keys, which lists what its reader may see."""
    return {line.split()[0] for line in listed.splitlines() if " keyring   _ses" in line}


@pytest.mark.parametrize("handler", RUNTIMES)
def test_a_process_that_joins_a_container_has_no_keys_of_others(
    client: Client, logs: Path, handler: str
) -> None:
    config = pod_config("keys", log_directory=logs)
    pod = client.run_pod(config, handler)
    seen = []
    for name in ("one", "two"):
        wanted = container_config(name, IMAGE, FOREVER)
        wanted.linux.security_context.seccomp.profile_type = pb.SecurityProfile.Unconfined
        container = client.create_container(pod, wanted, config)
        client.start_container(container)
        seen.append(_possessed(client, container))
    assert all(seen)
    assert seen[0].isdisjoint(seen[1])


def _possessed(client: Client, container: str) -> set[str]:
    """The session keyring of an exec: the container's, or one that an exec before it has not seen yet."""
    first, second = (client.exec(container, "cat", "/proc/keys").stdout.decode() for _ in range(2))
    named = [line for line in second.splitlines() if f"_ses.{container}" in line]
    return _own("\n".join(named)) or _own(second) - _own(first)
