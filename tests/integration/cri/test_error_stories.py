"""What an operator reads when something is wrong: the gRPC error, later the kubelet's event, and the log.

Each story is one sentence without timings, with the way out; its line of the log names the pod.
"""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import TIMEOUT_S, Client, container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import IMAGE, import_busybox, pod_config
from tests.integration.cri.scripted_registry import (
    INDEX,
    MANIFEST,
    ScriptedRegistry,
    error,
    image_of,
    self_signed,
)

pytestmark = pytest.mark.root

POD = "story"
ANSWERS = {
    "/v2/": (200, {}, b"{}"),
    "/v2/denied/manifests/1": error(403, "DENIED"),
    "/v2/busy/manifests/1": error(429, "TOOMANYREQUESTS", Retry_After="3600"),
    "/v2/down/manifests/1": error(500, "UNKNOWN"),
    "/v2/garbage/manifests/1": (200, {"Content-Type": MANIFEST}, b"<html>"),
    "/v2/elsewhere/manifests/1": (
        200,
        {"Content-Type": INDEX},
        b'{"schemaVersion":2,"manifests":[{"mediaType":"%s","size":2,"digest":"sha256:%s",'
        b'"platform":{"os":"linux","architecture":"s390x"}}]}' % (MANIFEST.encode(), b"0" * 64),
    ),
    **image_of("foreign", architecture="s390x"),
    **image_of("forged", architecture="amd64", config=b"{}"),
}


@dataclass(frozen=True)
class Scene:
    """A daemon with two registries and a pod that is ready."""

    daemon: Daemon
    registry: str
    untrusted: str
    logs: Path
    pod: str
    config: pb.PodSandboxConfig

    @property
    def client(self) -> Client:
        return self.daemon.client

    def pull(self, name: str, auth: str = "") -> None:
        image = name.replace("REGISTRY", self.registry).replace("UNTRUSTED", self.untrusted)
        request = pb.PullImageRequest(
            image=pb.ImageSpec(image=image), sandbox_config=self.config, auth=pb.AuthConfig(auth=auth)
        )
        self.client.image.PullImage(request, timeout=TIMEOUT_S)

    def run(self, change: Callable[[pb.PodSandboxConfig], object], handler: str = "") -> None:
        config = pod_config("other", log_directory=self.logs)
        change(config)
        self.client.run_pod(config, handler)

    def create(self, change: Callable[[pb.ContainerConfig], object], *command: str) -> str:
        config = container_config("main", IMAGE, command or ("sleep", "1000000"))
        change(config)
        return self.client.create_container(self.pod, config, self.config)

    def start(self, *command: str) -> str:
        container = self.create(lambda _: None, *command)
        self.client.start_container(container)
        return container

    def clear(self) -> None:
        for container in self.client.containers():
            self.client.remove_container(container.id)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("stories")
    with ScriptedRegistry(ANSWERS) as plain, ScriptedRegistry({}, self_signed(directory)) as untrusted:
        conf = f'[[registry]]\nlocation = "{plain.host}"\ninsecure = true\n'
        conf += '[[registry]]\nlocation = "blocked.test"\nblocked = true\n'
        daemon = Daemon(Settings(registries_conf=conf))
        import_busybox(daemon)
        with daemon:
            config = pod_config(POD, log_directory=directory / "logs")
            pod = daemon.client.run_pod(config)
            yield Scene(daemon, plain.host, untrusted.host, directory / "logs", pod, config)
            daemon.client.remove_all()


@dataclass(frozen=True)
class Story:
    """How it happens, what the error says, and at which level the log has it."""

    happens: Callable[[Scene], object]
    code: grpc.StatusCode
    words: str
    level: str = "ERROR"


CODE = grpc.StatusCode


def host_port_in_use(scene: Scene, address: str = "0.0.0.0") -> None:
    with socket.create_server((address, 0)) as taken:
        _map(scene, taken.getsockname()[1])


def _map(scene: Scene, port: int) -> None:
    scene.run(lambda config: config.port_mappings.add(protocol=pb.TCP, container_port=80, host_port=port))


def host_port_of_the_daemon(scene: Scene) -> None:
    """Where the kubelet comes for exec and attach: the pod would get what is typed, and answer."""
    config = pod_config("streams", log_directory=scene.logs)
    pod = scene.client.run_pod(config)
    url = scene.client.runtime.PortForward(pb.PortForwardRequest(pod_sandbox_id=pod, port=[80])).url
    try:
        _map(scene, urlsplit(url).port or 0)
    finally:
        scene.client.remove_pod(pod)


def plugin_missing(scene: Scene) -> None:
    file = scene.daemon.state / "net.d/00-missing.conflist"
    file.write_text('{"cniVersion":"1.0.0","name":"missing","plugins":[{"type":"no-such-plugin"}]}')
    try:
        eventually(scene.daemon.log, lambda text: "network=missing" in text, "the network is chosen")
        scene.run(lambda _: None)
    finally:
        file.unlink()
        eventually(lambda: scene.client.not_ready(), lambda text: not text, "the network is back")


def not_ready(scene: Scene) -> None:
    config = pod_config("stopped", log_directory=scene.logs)
    pod = scene.client.run_pod(config)
    scene.client.stop_pod(pod)
    try:
        scene.client.create_container(pod, container_config("main", IMAGE, ("true",)), config)
    finally:
        scene.client.remove_pod(pod)


def started_twice(scene: Scene) -> None:
    scene.client.start_container(scene.start("sleep", "1000000"))


def exec_after_the_end(scene: Scene) -> None:
    container = scene.start("true")
    scene.client.wait_exited(container)
    scene.client.exec(container, "true")


def sysctl(config: pb.PodSandboxConfig) -> None:
    config.linux.sysctls["kernel.panic"] = "1"


def user(config: pb.ContainerConfig) -> None:
    config.linux.security_context.run_as_username = "nobody-here"


def capability(config: pb.ContainerConfig) -> None:
    config.linux.security_context.capabilities.add_capabilities.append("FLYING")


def profile(config: pb.ContainerConfig) -> None:
    config.linux.security_context.seccomp.profile_type = pb.SecurityProfile.Localhost
    config.linux.security_context.seccomp.localhost_ref = "/no/such/profile.json"


def privileged(config: pb.ContainerConfig) -> None:
    config.linux.security_context.privileged = True


def no_image(config: pb.ContainerConfig) -> None:
    config.image.image = "localhost/no/such:image"


STORIES = {
    "no such host": Story(
        lambda s: s.pull("no-such.invalid/a:1"),
        CODE.UNKNOWN,
        r"RegistryUnavailable: cannot connect: its name cannot be looked up: .*no-such",
    ),
    "nobody listens": Story(
        lambda s: s.pull("127.0.0.1:1/a:1"), CODE.UNKNOWN, "cannot connect: Connection refused"
    ),
    "no such tag": Story(
        lambda s: s.pull("REGISTRY/app:v9"), CODE.NOT_FOUND, "manifest v9 not found: .*/app"
    ),
    "no access": Story(
        lambda s: s.pull("REGISTRY/denied:1"), CODE.PERMISSION_DENIED, "access denied: .*/denied"
    ),
    "rate limit": Story(
        lambda s: s.pull("REGISTRY/busy:1"),
        CODE.UNAVAILABLE,
        "no more requests for 3600 s .*credentials.*mirror",
    ),
    "registry down": Story(
        lambda s: s.pull("REGISTRY/down:1"), CODE.UNKNOWN, "RegistryUnavailable: server error"
    ),
    "unknown authority": Story(
        lambda s: s.pull("UNTRUSTED/a:1"),
        CODE.UNKNOWN,
        r"put that authority's .*/certs\.d/127\.0\.0\.1:\d+/ca\.crt",
    ),
    "another architecture": Story(
        lambda s: s.pull("REGISTRY/foreign:1"),
        CODE.NOT_FOUND,
        "the image is for linux/s390x, and this node is linux/",
    ),
    "no matching platform": Story(lambda s: s.pull("REGISTRY/elsewhere:1"), CODE.NOT_FOUND, "s390x"),
    "no manifest": Story(lambda s: s.pull("REGISTRY/garbage:1"), CODE.INVALID_ARGUMENT, "manifest"),
    "other bytes": Story(lambda s: s.pull("REGISTRY/forged:1"), CODE.INVALID_ARGUMENT, "sha256:.*"),
    "blocked": Story(
        lambda s: s.pull("blocked.test/a:1"), CODE.PERMISSION_DENIED, "registries.conf blocks blocked.test"
    ),
    "bad name": Story(lambda s: s.pull("REGISTRY/UPPER:1"), CODE.INVALID_ARGUMENT, "UPPER"),
    "bad credentials": Story(
        lambda s: s.pull("REGISTRY/a:1", "%%"), CODE.INVALID_ARGUMENT, "base64 of user:password"
    ),
    "no handler": Story(lambda s: s.run(lambda _: None, "no-such"), CODE.NOT_FOUND, "no-such.*crun"),
    "node's sysctl": Story(lambda s: s.run(sysctl), CODE.INVALID_ARGUMENT, "kernel.panic"),
    "no pod name": Story(
        lambda s: s.run(lambda c: c.metadata.ClearField("name")), CODE.INVALID_ARGUMENT, "name"
    ),
    "host port in use": Story(
        host_port_in_use,
        CODE.FAILED_PRECONDITION,
        r"host port \d+/tcp is in use by .*\(pid \d+\): .*hostPort",
    ),
    "host port in use on the loopback": Story(
        lambda s: host_port_in_use(s, "127.0.0.1"),
        CODE.FAILED_PRECONDITION,
        r"host port \d+/tcp is in use by .*\(pid \d+\): .*hostPort",
    ),
    "host port of the daemon": Story(
        host_port_of_the_daemon,
        CODE.FAILED_PRECONDITION,
        r"host port \d+/tcp is in use by podwright.*\(pid \d+\): .*hostPort",
    ),
    "plugin missing": Story(
        plugin_missing, CODE.UNAVAILABLE, "no-such-plugin is in none of .*install it there"
    ),
    "pod stopped": Story(not_ready, CODE.FAILED_PRECONDITION, "is stopped: containers need a ready one"),
    "image missing": Story(lambda s: s.create(no_image), CODE.NOT_FOUND, "no/such:image.*pull it first"),
    "no such user": Story(lambda s: s.create(user), CODE.INVALID_ARGUMENT, "nobody-here"),
    "no such capability": Story(lambda s: s.create(capability), CODE.INVALID_ARGUMENT, "FLYING"),
    "no such profile": Story(lambda s: s.create(profile), CODE.INVALID_ARGUMENT, "/no/such/profile.json"),
    "privileged": Story(lambda s: s.create(privileged), CODE.INVALID_ARGUMENT, "sandbox's configuration too"),
    "no such program": Story(
        lambda s: s.start("/no/such/program"), CODE.INVALID_ARGUMENT, "/no/such/program"
    ),
    "started twice": Story(started_twice, CODE.FAILED_PRECONDITION, "only a created one can be started"),
    "exec after the end": Story(exec_after_the_end, CODE.FAILED_PRECONDITION, "exited", "INFO"),
    "probe's program missing": Story(
        lambda s: s.client.exec(s.start("sleep", "1000000"), "no-such-probe"),
        CODE.INVALID_ARGUMENT,
        "no-such-probe",
        "INFO",
    ),
    "probe too slow": Story(
        lambda s: s.client.exec(s.start("sleep", "1000000"), "sleep", "600", timeout_s=1),
        CODE.DEADLINE_EXCEEDED,
        "timed out after 1 s",
        "INFO",
    ),
}


def _failures(told: str) -> list[str]:
    return [one for one in told.splitlines() if "code=" in one and "failed: " in one and " DEBUG " not in one]


@pytest.mark.parametrize("name", STORIES)
def test_story(scene: Scene, name: str) -> None:
    story = STORIES[name]
    begin = len(scene.daemon.log())
    with pytest.raises(grpc.RpcError) as caught:
        story.happens(scene)
    scene.clear()
    details = str(caught.value.details())
    # Lines wait for their turn to be written (cri/log_queue.py).
    (line,) = eventually(lambda: _failures(scene.daemon.log()[begin:]), bool, "the failure is in the log")
    assert (caught.value.code(), details) == (story.code, details)
    assert re.search(story.words, details), details
    assert "\n" not in details
    assert not re.search(r"\d ms\b", details), details
    assert f" {story.level} " in line
    assert "namespace=" in line
    assert " pod=" in line or name == "no pod name"
    assert details in line.replace('\\"', '"')
    assert "Traceback" not in scene.daemon.log()[begin:]
