"""What hangs, on a real daemon: ``why`` names it meanwhile, the error its step and seconds, the page both."""

import html
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from host.cgroups import Hierarchy
from tests.harness.client import TIMEOUT_S, container_config, eventually
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.patience import patient
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config
from tests.integration.cri.scripted_registry import ScriptedRegistry, image_of

pytestmark = pytest.mark.root

# It never answers to ADD while the file is there, and otherwise gives on what the plugin before it gave.
PLUGIN = """#!/usr/bin/env python3
import json, os, time
command = os.environ["CNI_COMMAND"]
if command == "ADD" and os.path.exists("HANG"):
    time.sleep(1000)
if command == "VERSION":
    print('{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}')
elif command == "ADD":
    print(json.dumps(json.load(open(0))["prevResult"]))
"""
# Its start does not come back.
RUNTIME = """#!/bin/sh
for word in "$@"; do
    if [ "$word" = start ]; then exec sleep 1000; fi
done
exec CRUN "$@"
"""
BOUND_S = round(patient(5))
FOREIGN = image_of("foreign", architecture="s390x")


@dataclass(frozen=True)
class Scene:
    """A daemon whose network has a plugin that hangs when told to, a registry, and the socket of its page."""

    daemon: Daemon
    hang: Path
    page: Path
    registry: str

    def why(self, name: str) -> str:
        """What the command says; "" while nothing has that name."""
        command = self.daemon.command("why", name)
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout

    def waits(self, name: str, what: str) -> str:
        """What it says once it knows of ``what``."""
        return eventually(lambda: self.why(name), lambda said: what in said, f"why {name} names {what}")

    def shown(self, path: str) -> str:
        """A page, by the Unix socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(str(self.page))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:200]
        return html.unescape(answer.decode())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    place = tmp_path_factory.mktemp("why")
    program, runtime, page = place / "sleeper", place / "slow", place / "page.sock"
    program.write_text(PLUGIN.replace("HANG", str(place / "hang")))
    runtime.write_text(RUNTIME.replace("CRUN", shutil.which("crun") or ""))
    for script in (program, runtime):
        script.chmod(0o755)
    with ScriptedRegistry({"/v2/": (200, {}, b"{}"), **FOREIGN}) as registry:
        tables: dict[str, dict[str, Value]] = {
            "crio.network": {"cni_add_timeout_s": BOUND_S, "plugin_dirs": [str(place)]},
            "crio.metrics": {
                "enable_metrics": True,
                "enable_page": True,
                "metrics_port": "0",
                "metrics_socket": str(page),
            },
            "crio.runtime": {"runtime_command_timeout_s": BOUND_S},
            "crio.runtime.runtimes.slow": {"runtime_path": str(runtime)},
        }
        insecure = f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n'
        settings = Settings(bridge="pw-why0", subnet="10.92.0.0/29", tables=tables, registries_conf=insecure)
        daemon = Daemon(settings)
        import_busybox(daemon)
        conflist = daemon.state / "net.d/10-bridge.conflist"
        network = json.loads(conflist.read_text())
        network["plugins"].append({"type": "sleeper"})
        conflist.write_text(json.dumps(network))
        daemon.start()
        Hierarchy.detect().create(CGROUP)
        yield Scene(daemon, place / "hang", page, registry.host)
        forced = daemon.teardown()
        Hierarchy.detect().remove(CGROUP)
        assert forced == []


def _failing(call: Callable[[], object]) -> "Future[str]":
    """The words of the error of a call that is made meanwhile."""

    def carry_out() -> str:
        with pytest.raises(grpc.RpcError) as caught:
            call()
        return str(caught.value.details())

    pool = ThreadPoolExecutor(1)
    found = pool.submit(carry_out)
    pool.shutdown(wait=False)
    return found


def test_a_plugin_that_hangs_is_named_meanwhile_in_the_error_and_on_the_page(scene: Scene) -> None:
    scene.hang.touch()
    failing = _failing(lambda: scene.daemon.client.run_pod(pod_config("stuck")))
    said = scene.waits("tests/stuck", "CNI plugin sleeper")
    assert 'it waits in step "CNI plugin sleeper" of RunPodSandbox, since ' in said
    assert "whose: the CNI plugin sleeper" in said
    assert "in CNI plugin sleeper" in scene.shown("/ui/")
    words = failing.result(TIMEOUT_S)
    scene.hang.unlink()
    found = re.search(r'in step "CNI plugin sleeper" after (\d+) s', words)
    assert found, words
    assert int(found[1]) >= BOUND_S - 1
    after = scene.why("tests/stuck")
    assert 'RunPodSandbox failed in step "CNI plugin sleeper" after ' in after
    assert "whose: the CNI plugin sleeper" in after
    assert 'in step "CNI plugin sleeper" after ' in scene.shown("/ui/operations")


def test_a_runtime_that_hangs_is_named(scene: Scene) -> None:
    client, config = scene.daemon.client, pod_config("slow")
    pod = client.run_pod(config, "slow")
    container = client.create_container(pod, container_config("main", IMAGE, ("sleep", "1000")), config)
    failing = _failing(lambda: client.start_container(container))
    said = scene.waits("tests/slow", "runtime start")
    assert 'it waits in step "runtime start" of StartContainer' in said
    assert "whose: the OCI runtime slow" in said
    assert 'in step "runtime start" after ' in failing.result(TIMEOUT_S)
    assert 'StartContainer failed in step "runtime start" after ' in scene.why(pod[:12])
    client.remove_pod(pod)


def test_an_exhausted_range_is_named(scene: Scene) -> None:
    client, pods = scene.daemon.client, list[str]()

    def use_up() -> None:
        while len(pods) < 9:
            pods.append(client.run_pod(pod_config(f"many{len(pods)}")))

    with pytest.raises(grpc.RpcError, match="no IP addresses available"):
        use_up()
    said = scene.why(f"tests/many{len(pods)}")
    for pod in pods:
        client.remove_pod(pod)
    assert "whose: the address range of the pod network: it is used up" in said


def test_an_image_for_other_machines_is_named_and_its_pull_has_steps(scene: Scene) -> None:
    image = f"{scene.registry}/foreign:1"
    with pytest.raises(grpc.RpcError, match="s390x"):
        scene.daemon.client.pull(image)
    said = scene.why(image)
    assert "PullImage failed" in said
    assert "whose: whoever built the image" in said
    command = scene.daemon.command("timeline", image, "-o", "json")
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    (pull,) = json.loads(done.stdout)["operations"]
    assert pull["steps"][0]["name"] == f"manifest from {scene.registry}"
    assert f"manifest from {scene.registry}" in scene.shown(f"/ui/operations/{pull['id']}")
