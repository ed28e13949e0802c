"""Clients that ask at random for everything, each with dice of its own, while the gate is open.

What a client does is drawn by its seed; what comes of it depends on when the others are served.
"""

import contextlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from api.runtime.v1 import api_pb2 as pb
from tests.chaos.requests import WEIGHTS, View, draw
from tests.harness.client import Client
from tests.harness.patience import patient

_BURST = 6
_PAUSE_S = 0.2
_STARTED = 0.7  # of the containers that are created
_STREAM_S = 0.5
_LIST_S = patient(30)
# One in five calls is left by its client before it is over.
_DEADLINES_S = (*[patient(120)] * 8, 0.05, 0.3)
# Codes that a client can do nothing about: each is a fault of ours, or of the machine.
FAULTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
_RESUMES = re.compile(r"[0-9a-f]{12,}|\d+")
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
)


class Tally:
    """What came of the calls, over all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()  # by "verb code"
        self.faults: Counter[str] = Counter()  # by verb, code and words without numbers

    def count(self, verb: str, error: grpc.RpcError | None) -> None:
        code = grpc.StatusCode.OK if error is None else error.code()
        with self._lock:
            self.calls[f"{verb} {code.name}"] += 1
            if error is not None and code in FAULTS:
                self.faults[f"{verb} {code.name} {_RESUMES.sub('#', error.details() or '')[:300]}"] += 1

    def total(self) -> int:
        with self._lock:
            return sum(self.calls.values())


class Crowd:
    """``number`` clients; they start closed, and stop for good with :meth:`end`."""

    def __init__(
        self,
        endpoint: str,
        number: int,
        seed: int,
        images: Sequence[str],
        logs: Path,
        cgroup: str,
        think_s: float = 0.0,
        weights: Mapping[str, float] = WEIGHTS,
    ) -> None:
        """``think_s``: how long each pauses at most between some calls and the next."""
        self.tally = Tally()
        self._weights = weights
        self._think_s = think_s
        self._endpoint, self._images, self._logs, self._cgroup = endpoint, images, logs, cgroup
        self._gate = threading.Condition()
        self._open, self._ended = False, False
        self._doing: dict[int, str] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(one, random.Random(f"{seed} {one}")), daemon=True)
            for one in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def open(self) -> None:
        with self._gate:
            self._open = True
            self._gate.notify_all()

    def close(self, timeout_s: float) -> list[str]:
        """Let nobody begin, and wait for those who are at it; what is unanswered by then."""
        with self._gate:
            self._open = False
            self._gate.wait_for(lambda: not self._doing, timeout_s)
            return [f"a client still waits for {what}" for what in self._doing.values()]

    def end(self) -> None:
        with self._gate:
            self._ended = True
            self._gate.notify_all()
        for thread in self._threads:
            thread.join(patient(10))

    def _work(self, number: int, chance: random.Random) -> None:
        while self._may_begin(number):
            try:
                with Client(self._endpoint) as client:
                    self._burst(number, client, chance)
            finally:
                with self._gate:
                    del self._doing[number]
                    self._gate.notify_all()
            time.sleep(chance.uniform(0, self._think_s))

    def _may_begin(self, number: int) -> bool:
        with self._gate:
            self._gate.wait_for(lambda: self._open or self._ended)
            self._doing[number] = "the lists"
            if self._ended:
                del self._doing[number]
            return not self._ended

    def _burst(self, number: int, client: Client, chance: random.Random) -> None:
        try:
            pods = client.runtime.ListPodSandbox(pb.ListPodSandboxRequest(), timeout=_LIST_S).items
            containers = client.runtime.ListContainers(pb.ListContainersRequest(), timeout=_LIST_S).containers
        except grpc.RpcError as error:
            self.tally.count("lists", error)
            time.sleep(_PAUSE_S)
            return
        view = View(pods, containers, chance, self._images, self._logs, self._cgroup)
        for _ in range(_BURST):
            if not self._open:
                return
            verb, request = draw(view, self._weights)
            self._doing[number] = f"{verb} {request}"[:300]
            timeout_s = chance.choice(_DEADLINES_S)
            answer = self._call(client, verb, request, timeout_s)
            if isinstance(answer, pb.CreateContainerResponse) and chance.random() < _STARTED:
                start = pb.StartContainerRequest(container_id=answer.container_id)
                self._call(client, "StartContainer", start, timeout_s)

    def _call(self, client: Client, verb: str, request: Message, timeout_s: float) -> Message | None:
        try:
            answer = self._ask(client, verb, request, timeout_s)
        except grpc.RpcError as error:
            self.tally.count(verb, error)
            return None
        self.tally.count(verb, None)
        if isinstance(answer, pb.ExecResponse | pb.AttachResponse | pb.PortForwardResponse):
            _visit(answer.url)
        return answer

    def _ask(self, client: Client, verb: str, request: Message, timeout_s: float) -> Message | None:
        stub = client.image if hasattr(client.image, verb) else client.runtime
        method = getattr(stub, verb)
        if verb != "GetContainerEvents" and not verb.startswith("Stream"):
            answer: Message = method(request, timeout=timeout_s)
            return answer
        try:
            for _ in method(request, timeout=min(timeout_s, _STREAM_S)):
                pass
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        return None


def _visit(url: str) -> None:
    """Begin a session and leave it without a word, as a client that dies does."""
    parts = urlsplit(url)
    address = (parts.hostname, parts.port)
    end = time.monotonic() + _STREAM_S
    with contextlib.suppress(OSError), socket.create_connection(address, _STREAM_S) as connection:
        connection.settimeout(_STREAM_S)
        connection.sendall(_UPGRADE.format(path=parts.path).encode())
        while connection.recv(4096) and time.monotonic() < end:
            pass
