"""The life of one pod, as the kubelet drives it, on real namespaces, cgroups and runtimes."""

import re
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import Client, container_config, eventually
from tests.harness.runtimes import RUNTIMES
from tests.integration.cri.conftest import IMAGE, pod_config

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("nothing_left")]

FOREVER = ("sleep", "1000000")


@pytest.mark.parametrize("handler", RUNTIMES)
def test_a_pod_lives_and_goes(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("life", log_directory=logs)
    pod = client.run_pod(config, handler)
    status = client.pod(pod)
    assert status.state == pb.SANDBOX_READY
    assert status.network.ip.startswith("10.88.")
    assert status.runtime_handler == handler

    container = client.create_container(
        pod, container_config("main", IMAGE, ["sh", "-c", "echo out; echo err >&2; sleep 1000000"]), config
    )
    assert client.container(container).state == pb.CONTAINER_CREATED
    client.start_container(container)
    running = client.container(container)
    assert running.state == pb.CONTAINER_RUNNING
    assert running.started_at >= running.created_at > 0
    assert [item.id for item in client.containers()] == [container]

    log = eventually(
        lambda: Path(running.log_path).read_text(), lambda text: text.count("\n") == 2, "two lines"
    )
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)"
    assert sorted(re.sub(stamp, "T", line) for line in log.splitlines()) == [
        "T stderr F err",
        "T stdout F out",
    ]

    address = client.exec(container, "ip", "-4", "addr", "show", "eth0")
    assert status.network.ip.encode() in address.stdout
    assert client.exec(container, "hostname").stdout == b"life\n"

    client.stop_container(container, grace_s=1)
    ended = client.container(container)
    assert (ended.state, ended.exit_code, ended.reason) == (pb.CONTAINER_EXITED, 137, "Error")
    client.remove_container(container)
    client.stop_pod(pod)
    assert client.pod(pod).state == pb.SANDBOX_NOTREADY
    client.remove_pod(pod)
    assert client.pods() == []


def test_exit_codes_and_reasons(client: Client, logs: Path) -> None:
    config = pod_config("exits", log_directory=logs)
    pod = client.run_pod(config)
    for name, script, code, reason in (
        ("good", "exit 0", 0, "Completed"),
        ("bad", "exit 3", 3, "Error"),
        ("killed", "kill -9 $$", 137, "Error"),
    ):
        command = ["sh", "-c", script] if name != "killed" else ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]
        container = client.create_container(pod, container_config(name, IMAGE, command), config)
        client.start_container(container)
        status = client.wait_exited(container)
        assert (status.exit_code, status.reason) == (code, reason), name
        assert status.finished_at >= status.started_at > 0
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_exec_gives_streams_and_exit_code_apart(client: Client, logs: Path) -> None:
    config = pod_config("exec", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    client.start_container(container)
    answer = client.exec(container, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 5)
    assert len(client.exec(container, "dd", "if=/dev/zero", "bs=1024", "count=1000").stdout) == 1024000
    with pytest.raises(grpc.RpcError) as late:
        client.exec(container, "sleep", "4321", timeout_s=1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert b"4321" not in client.exec(container, "ps").stdout
    with pytest.raises(grpc.RpcError) as missing:
        client.exec(container, "no-such-program")
    assert "no-such-program" in str(missing.value.details())
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_a_shared_pid_namespace_has_the_pause_process_as_its_first(client: Client, logs: Path) -> None:
    config = pod_config("shared", log_directory=logs)
    config.linux.security_context.namespace_options.pid = pb.POD
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.namespace_options.pid = pb.POD
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    processes = client.exec(container, "ps").stdout.decode()
    assert re.search(r"^\s*1 .*pause", processes, re.M), processes
    assert "sleep 1000000" in processes
    client.stop_pod(pod)
    assert client.container(container).state == pb.CONTAINER_EXITED
    client.remove_pod(pod)


@pytest.mark.parametrize("handler", RUNTIMES)
def test_the_pause_process_runs_as_the_pod_says(client: Client, logs: Path, handler: str) -> None:
    config = pod_config("who", log_directory=logs)
    context = config.linux.security_context
    context.namespace_options.pid = pb.POD
    context.run_as_user.value, context.run_as_group.value = 1000, 2000
    context.supplemental_groups.append(3000)
    pod = client.run_pod(config, handler)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.namespace_options.pid = pb.POD
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    status = client.exec(container, "cat", "/proc/1/status").stdout.decode()
    held = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert (held["Name"], held["Uid"], held["Gid"]) == (["pause"], ["1000"] * 4, ["2000"] * 4)
    assert held["Groups"] == ["2000", "3000"]
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_a_host_network_pod_has_the_nodes_network(client: Client, logs: Path) -> None:
    config = pod_config("host", log_directory=logs, host_network=True)
    pod = client.run_pod(config)
    assert client.pod(pod).network.ip == ""
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.security_context.namespace_options.network = pb.NODE
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    assert b" pw-test0:" in client.exec(container, "ip", "link").stdout
    client.stop_pod(pod)
    client.remove_pod(pod)


def test_removing_a_sandbox_removes_what_runs_in_it(client: Client, logs: Path) -> None:
    config = pod_config("force", log_directory=logs)
    pod = client.run_pod(config)
    for name in ("one", "two"):
        container = client.create_container(pod, container_config(name, IMAGE, FOREVER), config)
        client.start_container(container)
    client.remove_pod(pod)
    assert client.containers() == []
    assert client.pods() == []


def test_a_command_runs_in_a_container_that_is_created_and_not_started(client: Client, logs: Path) -> None:
    config = pod_config("created", log_directory=logs)
    pod = client.run_pod(config)
    container = client.create_container(pod, container_config("main", IMAGE, FOREVER), config)
    assert client.exec(container, "echo", "early").stdout == b"early\n"
    client.start_container(container)
    assert client.container(container).state == pb.CONTAINER_RUNNING
    client.remove_pod(pod)


def test_a_container_finds_out_that_it_is_one_and_its_log_is_chosen(client: Client, logs: Path) -> None:
    config = pod_config("plain", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ("ls", "-l", "/run/.containerenv"))
    wanted.log_path = ""
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    status = client.wait_exited(container)
    assert (status.exit_code, status.log_path) == (0, str(logs / f"{container}.log"))
    assert "/run/.containerenv" in Path(status.log_path).read_text()
    client.remove_pod(pod)


def test_a_run_of_the_nodes_own_gets_nothing_put_into_it(client: Client, logs: Path, tmp_path: Path) -> None:
    config = pod_config("own-run", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, ("true",))
    wanted.mounts.add(host_path=str(tmp_path), container_path="/run")
    container = client.create_container(pod, wanted, config)
    assert list(tmp_path.iterdir()) == [tmp_path / "logs"]
    client.remove_container(container)
    client.remove_pod(pod)


@pytest.mark.parametrize("limit", [-1, 0, 64 << 20])
def test_a_memory_limit_may_be_none(client: Client, logs: Path, limit: int) -> None:
    config = pod_config("memory", log_directory=logs)
    pod = client.run_pod(config)
    wanted = container_config("main", IMAGE, FOREVER)
    wanted.linux.resources.memory_limit_in_bytes = limit
    container = client.create_container(pod, wanted, config)
    client.start_container(container)
    update = pb.UpdateContainerResourcesRequest(container_id=container)
    update.linux.memory_limit_in_bytes = -1
    client.runtime.UpdateContainerResources(update)
    assert client.container(container).resources.linux.memory_limit_in_bytes == -1
    client.remove_pod(pod)
