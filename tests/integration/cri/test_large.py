"""A pod of fifty containers, and a container with a thousand mounts and ten thousand variables."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

CONTAINERS = 50
AT_ONCE = 8
MOUNTS = 1000
VARIABLES = 10_000


def _await_line(log: Path, line: str) -> None:
    eventually(log.read_text, lambda text: text.endswith(f"F {line}\n"), f"{log} ends with {line!r}")


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_fifty_containers_in_one_pod(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("fifty", log_directory=logs)
    pod = client.run_pod(config, handler)

    def start(number: int) -> str:
        command = ["sh", "-c", f"echo I am {number}; sleep 1000000"]
        container = client.create_container(pod, container_config(f"c{number}", IMAGE, command), config)
        client.start_container(container)
        return container

    with ThreadPoolExecutor(AT_ONCE) as workers:
        containers = list(workers.map(start, range(CONTAINERS)))
        assert len(set(containers)) == CONTAINERS
        listed = client.containers()
        assert {one.id for one in listed} == set(containers)
        assert {one.state for one in listed} == {pb.CONTAINER_RUNNING}
        for number, container in enumerate(containers):
            _await_line(Path(client.container(container).log_path), f"I am {number}")
        stats = client.runtime.PodSandboxStats(
            pb.PodSandboxStatsRequest(pod_sandbox_id=pod), timeout=60
        ).stats
        assert len(stats.linux.containers) == CONTAINERS
        list(workers.map(client.stop_container, containers[: CONTAINERS // 2]))
    states = [one.state for one in client.containers()]
    assert states.count(pb.CONTAINER_EXITED) == CONTAINERS // 2
    client.stop_pod(pod)
    client.remove_pod(pod)
    assert client.containers() == []


@pytest.mark.parametrize("handler", ["crun", "runc"])
def test_a_thousand_mounts_and_ten_thousand_variables(
    client: Client, logs: Path, tmp_path: Path, handler: str
) -> None:
    config = pod_config("large", log_directory=logs)
    pod = client.run_pod(config, handler)
    script = f"test -e /m/0/0/file && test -e /m/9/{MOUNTS - 1}/file && echo mounted; exec sleep 1000000"
    variables = {f"VARIABLE_{number}": str(number) for number in range(VARIABLES)}
    wanted = container_config("main", IMAGE, ["sh", "-c", script], env=variables)
    for number in range(MOUNTS):
        source = tmp_path / "sources" / str(number)
        source.mkdir(parents=True)
        (source / "file").touch()
        wanted.mounts.add(container_path=f"/m/{number % 10}/{number}", host_path=str(source))
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    status = client.container(container)
    assert len(status.mounts) == MOUNTS
    _await_line(Path(status.log_path), "mounted")
    table = client.exec(container, "cat", "/proc/1/mounts").stdout.decode()
    assert table.count(" /m/") == MOUNTS
    script = f"echo $VARIABLE_0 $VARIABLE_{VARIABLES - 1}"
    assert client.exec(container, "sh", "-c", script).stdout == b"0 9999\n"
    client.remove_pod(pod)
