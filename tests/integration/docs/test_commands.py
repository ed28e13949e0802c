"""What the documents say to type, typed on a daemon with a pod: in their order, in one shell."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.critest.toolchain import ensure_tool
from tests.harness.client import container_config, eventually, pod_config
from tests.harness.daemon import Daemon
from tests.harness.documents import place_of, typed
from tests.harness.patience import patient
from tests.integration.cri.conftest import IMAGE, import_busybox
from tools.demo import busybox_image

pytestmark = pytest.mark.root
ARCHIVED = "registry.example.com/team/app:1"
SOCKET = "unix:///run/podwright/podwright.sock"
# What the documents say that a line shows.
SHOWN = {
    'crictl ps -a --pod "$(crictl pods -q --name web)"': r"Running +main ",
    "crictl inspect CONTAINER": r'"pid": \d(.|\n)*"state": "CONTAINER_RUNNING"',
    "crictl inspectp POD": r'/sandboxes/POD/ns/net(.|\n)*"ip": "10\.88\.',
    "crictl logs --tail 50 CONTAINER": r"^hello$",
    "crictl stats CONTAINER": r"main",
    "podwright ops": r"^nothing is running$",
    "podwright check": r"^Pods can run on this host\.$",
    "nsenter -t $PID -n ip -br addr": r"eth0.* 10\.88\.",
    "ls /proc/$PID/root/": r"^bin$",
    "cat /proc/$PID/cgroup": r"CONTAINER",
    "podwright image import app.tar": re.escape(ARCHIVED),
    "podwright image import images.tar": re.escape(ARCHIVED),
    "podwright image list": re.escape(ARCHIVED),
    "crictl info | grep user_namespaces": r'"user_namespaces": true',
    "podwright config": r"runroot",
}


@dataclass(frozen=True)
class Node:
    """A daemon, the pod ``default/web`` with a container that runs, and a directory to type in."""

    daemon: Daemon
    pod: str
    container: str
    directory: Path

    def type(self, lines: list[str]) -> list[str]:
        """What each line has printed; all of them must succeed."""
        script = [f"printf '%s\\n' '@@'; {{ {self._meant(line)}; }} </dev/null 2>&1" for line in lines]
        path = f"{self.directory / 'bin'}:{os.environ['PATH']}:/usr/sbin"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(script)],
            cwd=self.directory,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=patient(120),
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return [text.strip() for text in done.stdout.split("@@\n")[1:]]

    def _meant(self, line: str) -> str:
        line = re.sub(r"\s+#.*", "", line)
        line = line.replace("sha256:…", f"sha256:{'a' * 64}").replace("…", "abcdef.0123456789abcdef")
        line = line.replace("/tmp/", f"{self.directory}/tmp/").replace(SOCKET, self.daemon.endpoint)
        return self.named(line)

    def named(self, text: str) -> str:
        """With our pod's and container's ids."""
        return re.sub(r"\bPOD\b", self.pod, re.sub(r"\bCONTAINER\b", self.container, text))


def program(path: Path, *words: str) -> None:
    """A program that calls another, with options of ours before the arguments."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = tmp_path_factory.mktemp("typed")
    daemon = Daemon()
    import_busybox(daemon)
    (directory / "bin").mkdir()
    program(directory / "bin/podwright", *daemon.command(""))
    program(directory / "bin/crictl", str(ensure_tool("crictl")), f"--runtime-endpoint={daemon.endpoint}")
    for name in ("app.tar", "images.tar"):
        busybox_image().write_docker_archive(directory / name, ARCHIVED)
    with daemon:
        client = daemon.client
        config = pod_config("web", log_directory=directory / "logs")
        config.metadata.namespace = "default"
        pod = client.run_pod(config)
        wanted = container_config("main", IMAGE, ("sh", "-c", "echo hello; exec sleep 1000000"))
        container = client.create_container(pod, wanted, config)
        client.start_container(container)
        log = Path(client.container(container).log_path)
        eventually(log.read_text, lambda text: "hello" in text, "it has said so")
        yield Node(daemon, pod, container, directory)


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/{name}.md" for name in ("debugging", "air-gapped", "user-namespaces"))]
)
def test_the_commands_of_a_document(node: Node, document: str) -> None:
    judge(node, [line for _, line in typed(document) if place_of(line) == "here"])


@pytest.mark.parametrize("document", ["docs/install.md", "docs/kubernetes.md"])
def test_what_podwright_prints_for_others(node: Node, document: str) -> None:
    """Of lines with several commands the first, which is ours; the next ones need what tests/node has."""
    lines = [line for _, line in typed(document) if line.startswith("podwright ")]
    judge(node, [line.partition(" && ")[0] for line in lines])


def test_the_commands_of_moving_over(node: Node) -> None:
    lines = [line for _, line in typed("docs/moving-over.md") if place_of(line) == "here"]
    *ours, removal = [line for line in lines if "/etc/crictl.yaml" not in line]
    judge(node, ours)
    assert "rmp -af" in removal
    config = pod_config("leaving")
    pod = node.daemon.client.run_pod(config)
    removing = re.sub(r" -af\b", f" -f {pod}", removal)  # -a would take the other tests' pod
    node.type([removing])
    assert pod not in [one.id for one in node.daemon.client.pods()]


def judge(node: Node, lines: list[str]) -> None:
    assert lines
    for line, shown in zip(lines, node.type(lines), strict=True):
        wanted = SHOWN.get(re.sub(r"\s+#.*", "", line))
        if wanted is not None:
            assert re.search(node.named(wanted), shown, re.MULTILINE), f"{line}\n{shown}"
