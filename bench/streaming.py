"""How fast the output of an exec comes through the streaming server, as a ratio to ``crun exec`` into a pipe.

    python -m bench.streaming [--mib 1024] [--rounds 3]        as root; in namespaces of its own

Each round runs ``cat`` of the same file in the same container, one way after the other: by crun into
a pipe that this process empties, as it is and as wide as the server's, and through the daemon over SPDY and
over WebSocket. Clients open streams by the protocol machines and then only walk over the frames, so that what
is measured is the server.
Medians and ratios are printed; quote the ratios.
"""

import argparse
import base64
import fcntl
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from api.runtime.v1 import api_pb2 as pb
from cri.streaming.descriptors import CHUNK_BYTES
from cri.streaming.spdy import Connection
from tests.harness import private, processes
from tests.harness.client import TIMEOUT_S, Client, container_config, pod_config
from tests.harness.daemon import Daemon, Settings
from tests.harness.runs import scratch
from tools.demo import busybox_image

IMAGE = "localhost/bench/busybox:1"
COMMAND = ("cat", "/data")
PIECE_BYTES = 1 << 20


class Incomplete(Exception):
    """Fewer bytes came than the file has."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Throughput of exec through the streaming server.")
    parser.add_argument("--mib", type=int, default=1024, help="size of the output")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    if not os.environ.get(private.INSIDE):
        line = private.command_line([sys.executable, "-m", "bench.streaming", *arguments])
        return os.execvp(line[0], line)
    with tempfile.TemporaryDirectory(dir=scratch()) as directory, Daemon(Settings()) as daemon:
        data = Path(directory) / "data"
        write_data(data, options.mib)
        container = start_container(daemon, data)
        ways = {
            "crun exec, pipe": lambda: by_crun(daemon, container),
            "crun, wider pipe": lambda: by_crun(daemon, container, pipe_bytes=CHUNK_BYTES),
            "SPDY": lambda: by_spdy(daemon.client, container),
            "WebSocket": lambda: by_websocket(daemon.client, container),
        }
        report(ways, options.rounds, options.mib << 20, [daemon.pid, *processes.children(daemon.pid)])
    return 0


def report(ways: dict[str, Callable[[], int]], rounds: int, size_bytes: int, pids: Sequence[int]) -> None:
    """Run all ways ``rounds`` times and print a table; the CPU is that of the daemon and its helpers."""
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    spent_s = dict.fromkeys(ways, 0.0)
    for _ in range(rounds):
        for name, way in ways.items():
            begin, cpu_before = time.perf_counter(), sum(map(cpu_s, pids))
            received = way()
            taken_s[name].append(time.perf_counter() - begin)
            spent_s[name] += sum(map(cpu_s, pids)) - cpu_before
            if received != size_bytes:
                raise Incomplete(f"{name}: {received} of {size_bytes} bytes")
    base = statistics.median(next(iter(taken_s.values())))
    for name, times in taken_s.items():
        middle = statistics.median(times)
        cost = spent_s[name] / rounds / size_bytes * 2**30
        rate = size_bytes / middle / 1e6
        print(f"{name:18} {rate:6.0f} MB/s   ratio {base / middle:.2f}   CPU {cost:.2f} s/GiB")


def cpu_s(pid: int) -> float:
    """What a process has used, user and system."""
    return processes.cpu_ticks(pid) / os.sysconf("SC_CLK_TCK")


def write_data(path: Path, mib: int) -> None:
    """A file that the page cache holds afterwards."""
    block = os.urandom(PIECE_BYTES)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(block)


def start_container(daemon: Daemon, data: Path) -> str:
    """A container that waits, with the file in it."""
    archive = daemon.state / "busybox.tar"
    busybox_image().write_docker_archive(archive, IMAGE)
    subprocess.run(daemon.command("image import", str(archive)), check=True, timeout=60, capture_output=True)
    client = daemon.client
    pod_of_bench = pod_config("bench", log_directory=daemon.state / "log")
    config = container_config("main", IMAGE, ["sleep", "1000000"])
    config.mounts.append(pb.Mount(container_path="/data", host_path=str(data), readonly=True))
    container = client.create_container(client.run_pod(pod_of_bench), config, pod_of_bench)
    client.start_container(container)
    return container


# ---- the ways; each returns how many bytes of output came


def by_crun(daemon: Daemon, container: str, *, pipe_bytes: int = 0) -> int:
    argv = ["crun", f"--root={daemon.runroot}/runtimes/crun", "exec", container, *COMMAND]
    received = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        if pipe_bytes:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, pipe_bytes)
        while data := os.read(pipe, PIECE_BYTES):
            received += len(data)
    return received


def by_spdy(client: Client, container: str) -> int:
    connection = Connection(client=True)
    opened = [connection.open_stream({"streamtype": (name,)}) for name in ("error", "stdout")]
    headers = ["Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]
    with upgraded(client, container, "POST", headers) as peer:
        peer.sendall(b"".join(data for _, data in opened))
        stdout, _ = opened[1]
        return walk(peer, spdy_frame, stdout.to_bytes(4, "big"))


def by_websocket(client: Client, container: str) -> int:
    key = base64.b64encode(os.urandom(16)).decode()
    headers = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    headers.append("Sec-WebSocket-Protocol: v5.channel.k8s.io")
    with upgraded(client, container, "GET", headers) as peer:
        return walk(peer, websocket_frame, b"\1")


def upgraded(client: Client, container: str, method: str, headers: Sequence[str]) -> socket.socket:
    """A connection on which the server has agreed."""
    request = pb.ExecRequest(container_id=container, cmd=COMMAND, stdout=True)
    url = urlsplit(client.runtime.Exec(request, timeout=TIMEOUT_S).url)
    peer = socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_S)
    lines = [f"{method} {url.path} HTTP/1.1", "Host: node", "Connection: Upgrade", *headers, "", ""]
    peer.sendall("\r\n".join(lines).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += peer.recv(1)
    if b" 101 " not in answer:
        raise Incomplete(answer.decode())
    return peer


Frame = Callable[[memoryview], tuple[int, bytes, int] | None]


def walk(peer: socket.socket, frame: Frame, output: bytes) -> int:
    """Read to the end; the bytes in frames of ``output``.

    ``frame`` reads a frame's start: bytes of header, whose stream it is, bytes that follow.
    """
    buffer = bytearray(2 * PIECE_BYTES)
    view = memoryview(buffer)
    held = skip = received = 0
    while count := peer.recv_into(view[held:]):
        held += count
        at = min(skip, held)
        skip -= at
        while not skip and (found := frame(view[at:held])) is not None:
            header, stream, length = found
            received += length if stream == output else 0
            skip = header + length
            step = min(skip, held - at)
            at += step
            skip -= step
        buffer[: held - at] = bytes(view[at:held])
        held -= at
    return received


def spdy_frame(data: memoryview) -> tuple[int, bytes, int] | None:
    if len(data) < 8:
        return None
    return 8, bytes(data[:4]), int.from_bytes(data[5:8], "big")


def websocket_frame(data: memoryview) -> tuple[int, bytes, int] | None:
    """A server's frame; the channel byte is counted as header."""
    length = data[1] & 0x7F if len(data) >= 2 else 0
    header = {126: 4, 127: 10}.get(length, 2)
    if len(data) < header + 1:
        return None
    if header > 2:
        length = int.from_bytes(data[2:header], "big")
    return header + 1, bytes(data[header : header + 1]), length - 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
