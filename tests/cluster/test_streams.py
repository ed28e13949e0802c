"""exec, logs, port-forward and cp through the API server, by the Python client and by kubectl."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from operator import not_
from pathlib import Path

import pytest
from kubernetes import stream
from kubernetes.stream.ws_client import RESIZE_CHANNEL

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.kubelet.manifests import WAIT, container, pod

pytestmark = pytest.mark.root

WEB = f"mkdir /tmp/www; echo page >/tmp/www/index.html; httpd -p 127.0.0.1:8080 -h /tmp/www; >/tmp/up; {WAIT}"
SERVES = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
# Says each line that comes, in capitals.
ECHO = "echo up; while read line; do echo $line | tr a-z A-Z; done; sleep 1000000"


def test_an_exec_gives_both_outputs_and_the_exit_code(cluster: Cluster) -> None:
    seen = cluster.run(pod("exec"))
    script = "read line; echo $line; echo err >&2; exit 5"
    with cluster.executing(seen.name, "sh", "-c", script, stdin=True) as remote:
        remote.write_stdin("hello\n")
        remote.run_forever(30)
        assert (remote.read_stdout(), remote.read_stderr()) == ("hello\n", "err\n")
        assert remote.returncode == 5


def test_an_exec_in_a_terminal_hears_of_its_size(cluster: Cluster) -> None:
    seen = cluster.run(pod("terminal"))
    script = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.1; done"
    with cluster.executing(seen.name, "sh", "-c", script, stdin=True, tty=True) as remote:
        assert remote.readline_stdout(30) == "up\r"
        remote.write_channel(RESIZE_CHANNEL, json.dumps({"Width": 123, "Height": 45}))
        remote.run_forever(30)
        assert "45 123" in remote.read_stdout()


def test_kubectl_execs_with_input_and_exit_code(cluster: Cluster) -> None:
    seen = cluster.run(pod("exec"))
    text = "".join(f"line {number}\n" for number in range(20000))
    assert cluster.kubectl("exec", "-i", seen.name, "--", "cat", text=text) == text
    failing = cluster.kubectl_line("exec", seen.name, "--", "sh", "-c", "exit 7")
    assert subprocess.run(failing, capture_output=True, timeout=60, check=False).returncode == 7


def test_logs_are_read_and_followed(cluster: Cluster) -> None:
    script = f"echo one; echo two >&2; sleep 2; echo three; {WAIT}"
    seen = cluster.run(pod("logs", container("main", script)))
    cluster.until(
        lambda: cluster.log(seen.name),
        lambda text: text == "one\ntwo\nthree\n",
        "all lines are there",
    )
    assert cluster.log(seen.name, tail_lines=1) == "three\n"
    stamped = cluster.kubectl("logs", seen.name, "--timestamps", "--tail=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) three\n", stamped)


def test_a_log_is_followed_to_the_end_of_its_container(cluster: Cluster) -> None:
    script = "n=0; while [ $n -lt 20 ]; do n=$((n + 1)); echo $n; sleep 0.1; done"
    name = cluster.create(pod("followed", container("main", script), restartPolicy="Never"))
    cluster.until_pod(
        name, lambda view: bool(view["main"].state.container_id or view["main"].id), "has begun"
    )
    said = cluster.kubectl("logs", "--follow", name)
    assert said.split() == [str(number) for number in range(1, 21)]


def test_the_log_of_the_container_before_is_kept(cluster: Cluster) -> None:
    script = f"[ -e /shared/been ] && {{ echo second; {WAIT}; }}; touch /shared/been; echo first; exit 1"
    main = container("main", script, volumeMounts=[{"name": "shared", "mountPath": "/shared"}])
    name = cluster.create(pod("previous", main, volumes=[{"name": "shared", "emptyDir": {}}]))
    cluster.until_pod(name, lambda view: view["main"].restarts == 1 and view.ready, "is restarted")
    assert cluster.kubectl("logs", "--previous", name) == "first\n"
    assert cluster.kubectl("logs", name) == "second\n"


def test_the_client_forwards_a_port(cluster: Cluster) -> None:
    seen = cluster.run(pod("forward", container("main", WEB, readinessProbe=SERVES)))
    forward = stream.portforward(
        cluster.core.connect_get_namespaced_pod_portforward, seen.name, NAMESPACE, ports="8080"
    )
    link = forward.socket(8080)
    link.settimeout(30)
    link.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
    said = b""
    while part := link.recv(4096):
        said += part
    assert said.endswith(b"\r\n\r\npage\n")
    assert forward.error(8080) is None
    forward.close()
    cluster.until(lambda: forward.connected, not_, "it is closed")
    forward.websocket.shutdown()


def test_kubectl_forwards_a_port(cluster: Cluster, tmp_path: Path) -> None:
    seen = cluster.run(pod("forward", container("main", WEB, readinessProbe=SERVES)))
    said = tmp_path / "said"
    with said.open("wb") as output:
        line = cluster.kubectl_line("port-forward", seen.name, ":8080")
        process = subprocess.Popen(line, stdout=output, stderr=output)
    try:
        words = cluster.until(said.read_text, lambda text: "Forwarding from 127.0.0.1" in text, "it forwards")
        (port,) = set(re.findall(r"127\.0\.0\.1:(\d+)", words))
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=30) as response:
                assert response.read() == b"page\n"
    finally:
        process.terminate()
        process.wait(30)


def test_kubectl_copies_both_ways(cluster: Cluster, tmp_path: Path) -> None:
    seen = cluster.run(pod("copy"))
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/large").write_bytes(os.urandom(3 << 20))
    (tree / "small").write_text("small\n")
    cluster.kubectl("cp", str(tree), f"{seen.name}:/tmp/tree")
    assert cluster.exec(seen.name, "cat /tmp/tree/small") == "small\n"
    cluster.kubectl("cp", f"{seen.name}:/tmp/tree", str(tmp_path / "back"))
    assert (tmp_path / "back/deep/large").read_bytes() == (tree / "deep/large").read_bytes()


def test_kubectl_attaches_to_the_main_process(cluster: Cluster) -> None:
    seen = cluster.run(pod("attach", container("main", ECHO, stdin=True)))
    line = cluster.kubectl_line("attach", "--quiet", "-i", seen.name)
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"HELLO\n"
        process.send_signal(signal.SIGTERM)
    assert cluster.pod(seen.name)["main"].restarts == 0


def test_a_container_is_added_for_looking_at_another(cluster: Cluster) -> None:
    seen = cluster.run(pod("debugged", container("main", "exec sleep 424242")))
    image = f"--image={seen['main'].image}"
    options = [image, "--target=main", "--container=look", "--profile=general"]
    cluster.kubectl("debug", seen.name, *options, "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '")

    def ended() -> bool:
        status = cluster.pod_json(seen.name)["status"].get("ephemeralContainerStatuses", [{}])[0]
        return "terminated" in status.get("state", {})

    cluster.until(ended, bool, "it has looked")
    # With the line end that every last line of a log gets, as by conmon.
    assert cluster.kubectl("logs", seen.name, "--container=look") == "sleep 424242 \n"
    assert cluster.pod(seen.name)["main"].id == seen["main"].id
