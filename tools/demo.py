"""`make demo`: one pod with a network, from an image file to its removal, each step in words.

Runs in network, mount and process namespaces of its own, so that the host's bridges and firewall stay as
they are; DEMO_HOST=1 runs it on the host. No registry and no internet is used: the daemon is asked by the
client of the tests, and by crictl too where one is at hand. What the demo shows it also checks: that the
container has its own image and namespaces and none of this machine's, and that nothing is left at the end.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import grpc

from api.runtime.v1 import api_pb2 as pb
from tests.harness import private
from tests.harness.cache import cache_root, prefetched
from tests.harness.client import Client, container_config, eventually, pod_config
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
    "readlink",
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
# Of the image alone: who reads it in the container is in the container.
MARK, MARK_TEXT = "etc/demo", "this is the image's"
NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
# The kubelet's: crictl shows the pod's name by them.
LABELS = {"io.kubernetes.pod.name": "demo", "io.kubernetes.pod.namespace": "default"}
# As pid 1 of its namespace it must handle SIGTERM itself, or its end would take the grace period.
SAY = "trap 'exit 0' TERM; echo hello from the container; echo and a word on stderr >&2; sleep 86400 & wait"


OUTSIDE = (
    "a command executed in the container ran outside of it; is this a chroot? There crun enters the mount "
    "namespace at its own root, not at the container's: run the demo where / is the root of a mount namespace"
)


class DemoFailed(Exception):
    """A step did not do what it should; the message is the step's own output."""


def main() -> int:
    if not (os.environ.get(private.INSIDE) or os.environ.get("DEMO_HOST")):
        return private.main([sys.executable, "-m", "tools.demo"])
    before = Counts.take(cgroups=NOTHING)
    started = time.monotonic()
    daemon = Daemon(Settings(handler="", bridge="pw-demo0", subnet="10.88.0.0/24"))
    ids = NOTHING
    try:
        ids = re.compile("|".join(show(daemon)))
    except (DemoFailed, DaemonFailed, grpc.RpcError, TimeoutError, subprocess.TimeoutExpired) as error:
        words = error.details() if isinstance(error, grpc.Call) else error
        print(f"\nThe demo failed: {words}\n\nWhat the daemon said, {daemon.log_tail()}", file=sys.stderr)
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


def show(daemon: Daemon) -> tuple[str, str]:
    """All steps, in order; the ids of the sandbox and the container that were."""
    archive = daemon.state / "busybox.tar"
    say("Build an image from this machine's busybox, and import it")
    busybox_image([Entry(MARK, MARK_TEXT.encode(), 0o644)]).write_docker_archive(archive, NAME)
    print(indent(run(daemon.command("image import", str(archive)))))

    say("Start the daemon on its defaults, with its state in a private directory")
    daemon.start()
    client = daemon.client
    version = client.runtime.Version(pb.VersionRequest(), timeout=STEP_TIMEOUT_S)
    print(f"    {version.runtime_name} {version.runtime_version} answers, CRI {version.runtime_api_version}")

    say("Run a pod sandbox: namespaces, cgroup, and an address from the CNI bridge")
    pod = pod_config("demo", namespace="default", log_directory=daemon.state / "pod-logs", labels=LABELS)
    sandbox = client.run_pod(pod)
    address = client.pod(sandbox).network.ip
    if not address:
        raise DemoFailed("the pod has no IP address")
    print(f"    sandbox {sandbox[:13]}, IP {address}")

    say("Create and start a container in it")
    wanted = container_config("hello", NAME, ["sh", "-c", SAY])
    wanted.labels.update(LABELS)
    created = client.create_container(sandbox, wanted, pod)
    client.start_container(created)
    print(indent(listing(client, daemon)))

    say("Execute commands in it: its image, its address, and its processes")
    mark = ask(client, created, "cat", f"/{MARK}", outside=True)
    if mark != MARK_TEXT:
        raise DemoFailed(f"{OUTSIDE}: /{MARK} there is {mark!r}")
    print(f"    /{MARK}: {mark}")
    seen = ask(client, created, "ip", "-4", "addr", "show", "eth0")
    if address not in seen:
        raise DemoFailed(f"eth0 in the container has not the pod's address {address}:\n{seen}")
    print(indent(seen))
    print(indent(ask(client, created, "ps")))

    say("See that it is apart from this machine: no namespace of the two is the same")
    script = 'for name; do readlink "/proc/self/ns/$name"; done'
    inside = ask(client, created, "sh", "-c", script, "sh", *NAMESPACES).split()
    theirs = dict(zip(NAMESPACES, inside, strict=True))
    ours = {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in NAMESPACES}
    if same := shared(ours, theirs):
        raise DemoFailed(f"the container is not isolated: it shares {', '.join(same)} with this machine")
    print(indent("\n".join(f"{theirs[name]:<20} here {ours[name]}" for name in NAMESPACES)))

    say("Reach it over the network from outside")
    print(indent(run(["ping", "-c", "1", "-W", "2", address]) if shutil.which("ping") else knock(address)))

    say("Read its log")
    log = daemon.state / "pod-logs" / wanted.log_path
    print(indent(eventually(log.read_text, lambda text: text.count("\n") >= 2, f"{log} has both lines")))

    say("Stop and remove the pod")
    client.stop_pod(sandbox)
    client.remove_pod(sandbox)
    if client.pods() or client.containers():
        raise DemoFailed("the pod is still listed after its removal")
    print("    no pod and no container is listed")
    return sandbox, created


def ask(client: Client, container: str, *command: str, outside: bool = False) -> str:
    """What a command in the container prints; ``outside``: its failure means that it ran elsewhere."""
    answer = client.exec(container, *command)
    if answer.exit_code:
        words = answer.stderr.decode(errors="replace").strip()
        said = f"`{' '.join(command)}` in the container ended with {answer.exit_code}: {words}"
        raise DemoFailed(f"{OUTSIDE}: {said}" if outside else said)
    return answer.stdout.decode(errors="replace").rstrip("\n")


def shared(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The namespaces that are the same on both sides."""
    return [name for name, namespace in ours.items() if theirs[name] == namespace]


def listing(client: Client, daemon: Daemon) -> str:
    """The containers as `crictl ps` shows them, by crictl itself if there is one."""
    if crictl := find_crictl():
        (daemon.state / "crictl.yaml").write_text("{}")
        options = ["--config", str(daemon.state / "crictl.yaml"), "--timeout", "30s"]
        return run([str(crictl), "--runtime-endpoint", daemon.endpoint, *options, "ps"])
    rows = [("CONTAINER", "IMAGE", "STATE", "NAME", "POD ID", "POD")]
    for one in client.containers():
        state = pb.ContainerState.Name(one.state).removeprefix("CONTAINER_").capitalize()
        pod = one.labels["io.kubernetes.pod.name"]
        rows.append((one.id[:13], one.image.image, state, one.metadata.name, one.pod_sandbox_id[:13], pod))
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def find_crictl() -> Path | None:
    """One on PATH, or built earlier for the tests; none is built for the demo."""
    if found := prefetched("tools", "crictl") or shutil.which("crictl"):
        return Path(found)
    built = sorted((cache_root() / "tools").glob("crictl-*/crictl"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else None


def run(argv: Sequence[str]) -> str:
    """Run a command that must succeed; what it printed, without the last newline."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False)
    if done.returncode:
        words = (done.stdout + done.stderr).strip()
        raise DemoFailed(f"`{' '.join(argv)}` ended with {done.returncode}:\n{words}")
    return done.stdout.rstrip("\n")


def knock(address: str) -> str:
    """Reachability without ping: a refused connection is an answer of the pod's own network stack."""
    done = subprocess.run(
        ["busybox", "nc", "-w", "2", address, "1"], capture_output=True, text=True, timeout=10, check=False
    )
    if "refused" not in done.stderr:
        raise DemoFailed(f"{address} does not answer: {done.stderr.strip() or 'silence'}")
    return f"{address} answers (nothing listens on port 1: connection refused)"


def busybox_image(more: Sequence[Entry] = ()) -> Image:
    """The machine's busybox, its libraries if any, links for the commands of this demo, and ``more``."""
    program = shutil.which("busybox")
    if program is None:
        raise DemoFailed("busybox is not installed: run `make setup` as root")
    return Image([Layer.of([*_busybox(Path(program)), *more])], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})


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


def say(text: str) -> None:
    print(f"\n* {text}", flush=True)


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
