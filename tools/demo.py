"""`make demo`: one pod with a network, from an image file to its removal, each step in words.

Runs in network, mount and process namespaces of its own, so that the host's bridges and firewall stay as they
are; DEMO_HOST=1 runs it on the host. No registry and no internet is used once crictl is built.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.critest.toolchain import ToolchainFailed, ensure_tool
from tests.harness import private
from tests.harness.counts import Counts
from tests.harness.daemon import Daemon, DaemonFailed, Settings
from tests.harness.images import Entry, Image, Layer

NAME = "localhost/demo/busybox:1"
COMMANDS = (
    "sh",
    "echo",
    "sleep",
    "ip",
    "ps",
    "cat",
    "ls",
    "dd",
    "hostname",
    "true",
    "kill",
    "id",
    "touch",
    "seq",
    "head",
    "grep",
    "nc",
    "wget",
)
STEP_TIMEOUT_S = 60
# Cgroups of others come and go on the machine: only those with our ids count.
NOTHING = re.compile("(?!)")
# The kubelet's: crictl shows the pod's name by them.
LABELS = {"io.kubernetes.pod.name": "demo", "io.kubernetes.pod.namespace": "default"}
# As pid 1 of its namespace it must handle SIGTERM itself, or its end would take the grace period.
SAY = "trap 'exit 0' TERM; echo hello from the container; echo and a word on stderr >&2; sleep 86400 & wait"


class DemoFailed(Exception):
    """A step did not do what it should; the message is the step's own output."""


def main() -> int:
    try:
        crictl = ensure_tool("crictl")
    except ToolchainFailed as error:
        print(error, file=sys.stderr)
        return 1
    if not (os.environ.get(private.INSIDE) or os.environ.get("DEMO_HOST")):
        return private.main([sys.executable, "-m", "tools.demo"])
    before = Counts.take(cgroups=NOTHING)
    started = time.monotonic()
    daemon = Daemon(Settings(handler="", bridge="pw-demo0", subnet="10.88.0.0/24"))
    ids = NOTHING
    try:
        ids = re.compile("|".join(show(daemon, crictl)))
    except (DemoFailed, DaemonFailed, subprocess.TimeoutExpired) as error:
        print(f"\nThe demo failed: {error}\n\nWhat the daemon said, {daemon.log_tail()}", file=sys.stderr)
        return 1
    finally:
        forced = daemon.teardown()
    left = forced + before.left_over(Counts.take(cgroups=ids))
    if left:
        print("\nThis was left behind, which is a bug:\n  " + "\n  ".join(left), file=sys.stderr)
        return 1
    print(
        f"\nNothing is left: no process, mount, link or cgroup. Done in {time.monotonic() - started:.1f} s."
    )
    return 0


def show(daemon: Daemon, crictl: Path) -> tuple[str, str]:
    """All steps, in order; the ids of the sandbox and the container that were."""
    archive = daemon.state / "busybox.tar"
    say("Build an image from this machine's busybox, and import it")
    busybox_image().write_docker_archive(archive, NAME)
    print(indent(run(daemon.command("image import", str(archive)))))

    say("Start the daemon on its defaults, with its state in a private directory")
    daemon.start()
    cri = Crictl(crictl, daemon)
    print(indent(cri("version")))

    say("Run a pod sandbox: namespaces, cgroup, and an address from the CNI bridge")
    pod_file = write(daemon.state / "pod.json", pod(daemon.state / "pod-logs"))
    container_file = write(daemon.state / "container.json", container())
    sandbox = cri("runp", pod_file)
    address = json.loads(cri("inspectp", sandbox))["status"]["network"]["ip"]
    if not address:
        raise DemoFailed("the pod has no IP address")
    print(f"    sandbox {sandbox[:13]}, IP {address}")

    say("Create and start a container in it")
    created = cri("create", "--no-pull", sandbox, container_file, pod_file)
    cri("start", created)
    print(indent(cri("ps")))

    say("Execute commands in it: its address, and its processes")
    seen = cri("exec", "-s", created, "ip", "-4", "addr", "show", "eth0")
    if address not in seen:
        raise DemoFailed(f"eth0 in the container has not the pod's address {address}:\n{seen}")
    print(indent(seen))
    print(indent(cri("exec", "-s", created, "ps")))

    say("Reach it over the network from outside")
    print(indent(run(["ping", "-c", "1", "-W", "2", address]) if shutil.which("ping") else knock(address)))

    say("Read its log")
    log = cri("logs", created)
    if "hello from the container" not in log:
        raise DemoFailed(f"the log lacks what the container wrote: {log!r}")
    print(indent(log))

    say("Stop and remove the pod")
    cri("stopp", sandbox)
    cri("rmp", sandbox)
    if cri("pods", "-q") or cri("ps", "-a", "-q"):
        raise DemoFailed("the pod is still listed after its removal")
    print("    no pod and no container is listed")
    return sandbox, created


class Crictl:
    """``crictl(…)`` runs it against the daemon and returns what it printed."""

    def __init__(self, program: Path, daemon: Daemon) -> None:
        self._line = [str(program), "--runtime-endpoint", daemon.endpoint, "--timeout", "30s"]
        self._config = write(daemon.state / "crictl.yaml", {})

    def __call__(self, *arguments: str) -> str:
        return run([*self._line, "--config", self._config, *arguments])


def run(argv: Sequence[str]) -> str:
    """Run a command that must succeed; what it printed, without the last newline."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
    if done.returncode:
        words = (done.stdout + done.stderr).strip()
        raise DemoFailed(f"`{' '.join(argv)}` ended with {done.returncode}:\n{words}")
    return (done.stdout + (done.stderr if argv[0].endswith("crictl") and "logs" in argv else "")).rstrip("\n")


def knock(address: str) -> str:
    """Reachability without ping: a refused connection is an answer of the pod's own network stack."""
    done = subprocess.run(
        ["busybox", "nc", "-w", "2", address, "1"], capture_output=True, text=True, timeout=10, check=False
    )
    if "refused" not in done.stderr:
        raise DemoFailed(f"{address} does not answer: {done.stderr.strip() or 'silence'}")
    return f"{address} answers (nothing listens on port 1: connection refused)"


def busybox_image() -> Image:
    """The machine's busybox, its libraries if it needs any, and links for the commands of this demo."""
    program = shutil.which("busybox")
    if program is None:
        raise DemoFailed("busybox is not installed: run `make setup` as root")
    return Image([Layer.of(_busybox(Path(program)))], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})


def _busybox(program: Path) -> Iterator[Entry]:
    for directory in ("bin", "dev", "etc", "proc", "sys", "root", "tmp"):
        yield Entry(directory)
    yield Entry("bin/busybox", program.read_bytes())
    for command in COMMANDS:
        yield Entry(f"bin/{command}", link="bin/busybox", hard=True)
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=10, check=False).stdout
    for library in sorted(set(re.findall(r"(/\S+) \(0x", listed))):
        yield Entry(library, Path(library).read_bytes())
    yield Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
    yield Entry("etc/group", b"root:x:0:\n", 0o644)


def pod(logs: Path) -> dict[str, object]:
    metadata = {"name": "demo", "namespace": "default", "uid": "demo-1", "attempt": 0}
    return {
        "metadata": metadata,
        "hostname": "demo",
        "log_directory": str(logs),
        "labels": LABELS,
        "linux": {},
    }


def container() -> dict[str, object]:
    security = {"namespace_options": {"pid": 1}}
    return {
        "metadata": {"name": "hello", "attempt": 0},
        "image": {"image": NAME},
        "command": ["sh", "-c", SAY],
        "log_path": "hello/0.log",
        "labels": LABELS,
        "linux": {"security_context": security},
    }


def write(path: Path, value: object) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def say(text: str) -> None:
    print(f"\n* {text}", flush=True)


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
