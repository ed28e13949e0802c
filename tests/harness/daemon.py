"""A Podwright daemon on a state of its own, and the certainty that nothing of it stays.

<state>/podwright.toml  conf.d/  registries.conf  net.d/10-bridge.conflist   its configuration
<state>/root  log  ipam  daemon.log   what it keeps on disk, and its pods' logs
<runroot>/podwright.sock and others   what it keeps until the next boot
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc

from conf.schema import RuntimeTable
from tests.harness.client import Client, eventually
from tests.harness.counts import cgroup_roots
from tests.harness.patience import patient
from tests.harness.processes import cgroup, command_line, everyone
from tests.harness.runs import scratch

READY_TIMEOUT_S = patient(30)
STOP_TIMEOUT_S = patient(30)
LOG_SETTLES_S = patient(0.1)
LOG_TAIL = 4000
NFT_TABLE = ("inet", "podwright")
PLUGIN_DIRECTORIES = ("/opt/cni/bin", "/usr/lib/cni")
Value = str | int | bool | Sequence[str]


class DaemonFailed(Exception):
    """The daemon does not start or does not become ready; the message carries the end of its log."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the configuration tests vary.

    ``tables`` adds or replaces keys: ``{"crio.runtime": {"drop_infra_ctr": False}}``.
    """

    handler: str = "crun"
    bridge: str = "pw-test0"
    subnet: str = "10.88.0.0/16"
    registries_conf: str = ""
    tables: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    def conflist(self, ipam: Path) -> str:
        """The CNI network: a bridge with host-local addresses kept below ``ipam``, and port mappings."""
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(ipam),
                "ranges": [[{"subnet": self.subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        return json.dumps(
            {"cniVersion": "1.0.0", "name": self.bridge, "plugins": [bridge, portmap]}, indent=2
        )

    def toml(self, state: Path, runroot: Path) -> str:
        """The main configuration file for a daemon whose state is below the two directories."""
        usual = RuntimeTable()
        tables: dict[str, dict[str, Value]] = {
            "crio": {"root": str(state / "root"), "runroot": str(runroot), "log_dir": str(state / "log")},
            "crio.api": {
                "listen": str(runroot / "podwright.sock"),
                "stream_address": "127.0.0.1",
                "stream_port": "0",
            },
            "crio.runtime": {
                "default_runtime": self.handler,
                "cgroup_manager": "cgroupfs",
                "monitor_timeout_s": round(patient(usual.monitor_timeout_s)),
                "runtime_command_timeout_s": round(patient(usual.runtime_command_timeout_s)),
            },
            "crio.image": {"registries_conf": str(state / "registries.conf")},
            "crio.network": {"network_dir": str(state / "net.d"), "plugin_dirs": list(PLUGIN_DIRECTORIES)},
        }
        for name in ("crun", "runc"):
            if path := shutil.which(name):
                tables[f"crio.runtime.runtimes.{name}"] = {"runtime_path": path}
        for table, values in self.tables.items():
            tables.setdefault(table, {}).update(values)
        return "\n".join(_table(name, values) for name, values in tables.items())


def _table(name: str, values: Mapping[str, Value]) -> str:
    # A JSON string, number, boolean or list of strings is TOML too.
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


class Daemon:
    """``with Daemon(Settings(…)) as daemon``: started and ready inside, everything removed afterwards."""

    def __init__(self, settings: Settings | None = None, *, program: Sequence[str] = ()) -> None:
        self.settings = settings or Settings()
        self.state = Path(tempfile.mkdtemp(prefix="podwright-", dir=scratch()))
        self.runroot = Path(tempfile.mkdtemp(prefix="pw-", dir="/run"))
        for directory in (self.state, self.runroot):
            directory.chmod(0o700)  # as below a home directory: whatever lies above must not be open either
        # PODWRIGHT names another build to test in place of the one beside this Python.
        default = os.environ.get("PODWRIGHT") or str(Path(sys.executable).parent / "podwright")
        self._program = list(program) or [default]
        # The table is kept by design, as the bridge is; one that was here before us is somebody else's.
        self._makes_table = not _quietly("nft", "list", "table", *NFT_TABLE)
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._write_configuration()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.teardown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for line in self.teardown():
            print(f"left behind by the daemon: {line}", file=sys.stderr)

    def _write_configuration(self) -> None:
        for directory in ("conf.d", "net.d", "ipam", "log"):
            (self.state / directory).mkdir()
        self.config.write_text(self.settings.toml(self.state, self.runroot))
        (self.state / "registries.conf").write_text(self.settings.registries_conf)
        conflist = self.settings.conflist(self.state / "ipam")
        (self.state / "net.d/10-bridge.conflist").write_text(conflist)

    @property
    def config(self) -> Path:
        return self.state / "podwright.toml"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.runroot}/podwright.sock"

    @property
    def scratch(self) -> str:
        """The mount of the monitor's own."""
        return f"{self.runroot}/scratch"

    @property
    def pid(self) -> int:
        """Of the running daemon.

        Raises:
            DaemonFailed: it does not run.
        """
        if self._process is None or not self.running:
            raise DaemonFailed("the daemon is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def client(self) -> Client:
        """Connected at first use; stays usable over restarts."""
        if self._client is None:
            self._client = Client(self.endpoint)
        return self._client

    def command(self, verb: str, *arguments: str) -> list[str]:
        """A command line on this daemon's configuration; ``verb`` may be of two words: ``image import``."""
        options = ["--config", str(self.config), "--config-dir", str(self.state / "conf.d")]
        return [*self._program, *verb.split(), *options, *arguments]

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start it and wait until it says that pods and their network can run."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Start it without waiting."""
        with (self.state / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command("serve"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.state
            )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """
        Raises:
            DaemonFailed: it ended, or was not ready in time; why, and the end of its log.
        """
        end = time.monotonic() + timeout_s
        while True:
            reason = self._not_ready()
            if not reason:
                return
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                raise DaemonFailed(f"the daemon is not ready: {reason}\n{self.log_tail()}")
            time.sleep(0.02)

    def _not_ready(self) -> str:
        # A fresh channel: one that has been refused waits longer and longer before it tries again.
        with Client(self.endpoint) as client:
            try:
                return client.not_ready()
            except grpc.RpcError as error:
                return str(error)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait for its end; the exit code, negative for a signal."""
        if self._process is None:
            raise DaemonFailed("the daemon is not running")
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            raise DaemonFailed(
                f"not gone {STOP_TIMEOUT_S:.0f} s after {how.name}\n{self.log_tail()}"
            ) from error

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.stop(signal.SIGKILL)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it with ``how`` and start it again on the same state."""
        self.stop(how)
        self.start()

    def log(self) -> str:
        """All that it has written to standard output and error.

        A thread of the daemon writes what it has said: this waits until that is done for a while. Who wants
        certain lines asks `told` for them.
        """
        path = self.state / "daemon.log"
        text, before = path.read_text(errors="replace") if path.exists() else "", None
        while text != before:
            time.sleep(LOG_SETTLES_S)
            text, before = path.read_text(errors="replace") if path.exists() else "", text
        return text

    def told(self, *texts: str, number: int = 1, since: int = 0) -> list[str]:
        """Wait for ``number`` lines with all of ``texts`` after the first ``since`` characters: those."""

        def look() -> list[str]:
            path = self.state / "daemon.log"
            log = path.read_text(errors="replace")[since:] if path.exists() else ""
            return [line for line in log.splitlines() if all(text in line for text in texts)]

        return eventually(look, lambda lines: len(lines) >= number, f"the log has {number} times {texts}")

    def log_tail(self) -> str:
        return f"the end of its log:\n{self.log()[-LOG_TAIL:] or '(empty)'}"

    def teardown(self) -> list[str]:
        """Remove pods, daemon, helpers, mounts, cgroups, files; what had to be forced, one line each."""
        ids = self._remove_pods()
        if self._client is not None:
            self._client.close()
            self._client = None
        forced = []
        if self._process is not None:
            try:
                self.stop()
            except DaemonFailed as error:
                forced.append(f"killed the daemon: {error}")
        forced += [f"killed {line}" for line in _end_processes(self._marks(ids))]
        # A monitor that lives on keeps the place for files of its commands: as that, it is there by design.
        unmounted = [path for path in _unmount_below(self.state, self.runroot) if path != self.scratch]
        forced += [f"unmounted {path}" for path in unmounted]
        forced += [f"removed cgroup {path}" for path in _remove_cgroups(ids)]
        for directory in (self.state, self.runroot):
            shutil.rmtree(directory, ignore_errors=True)
        _quietly("ip", "link", "delete", self.settings.bridge)
        if self._makes_table:
            _quietly("nft", "delete", "table", *NFT_TABLE)
        return forced

    def _remove_pods(self) -> list[str]:
        """Ask the daemon, if it still answers, to remove all; the ids of what it had."""
        if self._process is None or self._process.poll() is not None:
            return []
        ids: list[str] = []
        try:
            ids += [pod.id for pod in self.client.pods()] + [one.id for one in self.client.containers()]
            self.client.remove_all()
        except grpc.RpcError:
            pass
        return ids

    def _marks(self, ids: Sequence[str]) -> re.Pattern[str]:
        """What the command line or cgroup of our processes contains."""
        return re.compile("|".join(map(re.escape, [str(self.state), str(self.runroot), *ids])))


def _quietly(*argv: str) -> bool:
    """Run a command whose failure is an answer; whether it succeeded."""
    if shutil.which(argv[0]) is None:
        return False
    done = subprocess.run(argv, capture_output=True, timeout=STOP_TIMEOUT_S, check=False)
    return done.returncode == 0


def _end_processes(marks: re.Pattern[str]) -> Iterator[str]:
    """SIGKILL what is the daemon's and outlived it: by design monitor and keeper, the rest by mistake."""
    for pid in everyone():
        line = command_line(pid)
        if pid != os.getpid() and line and (marks.search(line) or marks.search(cgroup(pid))):
            if not any(name in line for name in ("podwright-monitor", "oci.monitor", "podwright-keeper")):
                yield f"{pid} {line}"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _unmount_below(*directories: Path) -> Iterator[str]:
    prefixes = tuple(f"{directory}/" for directory in directories)
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(prefixes)]):
        _quietly("umount", "-l", mount)
        yield mount


def _remove_cgroups(ids: Sequence[str]) -> Iterator[str]:
    if not ids:
        return
    pattern = re.compile("|".join(map(re.escape, ids)))
    for root in cgroup_roots():
        for directory, _, _ in os.walk(root, topdown=False):
            if pattern.search(directory):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
                    yield directory
