"""A real kubelet; without an API server it runs the pods that lie as files in a directory.

<state>/kubelet.yaml   manifests/   resolv.conf   kubelet.log
<state>/root   pki   pod-logs      what it keeps itself

It wants more of the machine than that, which `tests.kubelet.machine` provides.
"""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

from tests.harness.patience import patient
from tests.harness.ports import free_port
from tests.kubelet.cgroups import Cgroups
from tests.kubelet.manifests import Json
from tests.kubelet.views import PodView

NODE = "node"
START_TIMEOUT_S = patient(60)
STOP_TIMEOUT_S = patient(30)
REQUEST_TIMEOUT_S = patient(60)
LOG_TAIL = 4000


class KubeletFailed(Exception):
    """The kubelet does not start, or refuses a request; the message carries what it said."""


class Kubelet:
    """One kubelet; ``node_address`` is one that a link of this network namespace has.

    With a ``kubeconfig`` it registers its node with the API server that this names.
    """

    def __init__(
        self,
        program: Path,
        endpoint: str,
        state: Path,
        cgroups: Cgroups,
        node_address: str,
        kubeconfig: Path | None = None,
    ) -> None:
        self.state = state
        self.port = free_port()
        self._program = program
        self._endpoint = endpoint
        self._cgroups = cgroups
        self._node_address = node_address
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[bytes] | None = None
        self.tls = ssl.create_default_context()  # its certificate is its own, made at the first start
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.manifests.mkdir()
        (state / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch example.test\noptions ndots:3\n")

    @property
    def manifests(self) -> Path:
        return self.state / "manifests"

    def configuration(self) -> Json:
        """KubeletConfiguration (kubelet.config.k8s.io/v1beta1): quick where waiting would only take time."""
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": self._endpoint,
            "staticPodPath": str(self.manifests),
            "podLogsDir": str(self.state / "pod-logs"),
            "volumePluginDir": str(self.state / "root/volume-plugins"),
            "resolvConf": str(self.state / "resolv.conf"),
            "address": "0.0.0.0" if self._kubeconfig else "127.0.0.1",  # the API server calls it too
            "port": self.port,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupRoot": self._cgroups.kubelet_root,
            # Wrong on purpose: the runtime's answer to RuntimeConfig decides.
            "cgroupDriver": "cgroupfs" if self._cgroups.driver == "systemd" else "systemd",
            "runtimeRequestTimeout": f"{patient(120):.0f}s",
            "enforceNodeAllocatable": ["none"],
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "registerNode": self._kubeconfig is not None,
            "syncFrequency": "5s",
            "fileCheckFrequency": "1s",
            "nodeStatusUpdateFrequency": "2s",
            "imageMinimumGCAge": "1s",
            "evictionHard": {"memory.available": "50Mi"},
            "evictionPressureTransitionPeriod": "5s",
            "containerLogMaxSize": "64Ki",
            "containerLogMaxFiles": 3,
            "containerLogMonitorInterval": "3s",
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
            "crashLoopBackOff": {"maxContainerRestartPeriod": "2s"},
        }

    def start(self, changes: Mapping[str, object] | None = None) -> None:
        """Start it and wait until it answers; ``changes`` replace keys of the configuration."""
        config = self.state / "kubelet.yaml"
        config.write_text(json.dumps({**self.configuration(), **(changes or {})}))  # JSON is YAML too
        line = [
            str(self._program),
            f"--config={config}",
            f"--root-dir={self.state / 'root'}",
            f"--cert-dir={self.state / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={self._node_address}",
            "--v=3",  # from here on it tells its events
            *([f"--kubeconfig={self._kubeconfig}"] if self._kubeconfig else []),
        ]
        with (self.state / "kubelet.log").open("ab") as log:
            self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_TIMEOUT_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                raise KubeletFailed(f"the kubelet is not healthy\n{self.log_tail()}")
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; pods go on. No start before, or an end of its own, is fine."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            raise
        finally:
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self.state / "kubelet.log").read_text(errors="replace")

    def log_tail(self) -> str:
        """The end of it, without the requests that tests made."""
        lines = [line for line in self.log().splitlines() if " httplog.go:" not in line]
        return "the end of the kubelet's log:\n" + "\n".join(lines)[-LOG_TAIL:]

    def apply(self, manifest: Json) -> str:
        """Add a pod, or replace the one of that name; the name that the kubelet gives it."""
        name = manifest["metadata"]["name"]
        temporary = self.state / "manifest.json"
        temporary.write_text(json.dumps(manifest))
        temporary.rename(self.manifests / f"{name}.json")
        return f"{name}-{NODE}"

    def withdraw(self, name: str) -> None:
        """Take away the pod that ``apply`` gave this name."""
        (self.manifests / f"{name.removesuffix(f'-{NODE}')}.json").unlink()

    def pods(self) -> dict[str, PodView]:
        """The pods that it is meant to run, by name."""
        views = (PodView.of(pod) for pod in json.loads(self.get("/pods"))["items"] or [])
        return {view.name: view for view in views}

    def url(self, path: str, **query: object) -> str:
        """A URL of its API; a list in ``query`` repeats the key."""
        return f"https://127.0.0.1:{self.port}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")

    def get(self, path: str, **query: object) -> str:
        return self.request("GET", path, **query)

    def request(self, method: str, path: str, **query: object) -> str:
        """One request of its API; the body of the answer.

        Raises:
            KubeletFailed: the status is not 200.
        """
        with self.asked(method, path, **query) as answer:
            body = answer.read().decode(errors="replace")
        if answer.status != 200:
            raise KubeletFailed(f"{method} {path}: {answer.status} {body}")
        return body

    @contextlib.contextmanager
    def asked(self, method: str, path: str, **query: object) -> Iterator[http.client.HTTPResponse]:
        """One request; its answer is still to be read."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S, context=self.tls
        )
        try:
            connection.request(method, self.url(path, **query).partition(str(self.port))[2])
            yield connection.getresponse()
        finally:
            connection.close()

    def logs(self, pod: str, container: str, **query: object) -> str:
        """What `kubectl logs` shows."""
        return self.get(f"/containerLogs/default/{pod}/{container}", **query)

    def _healthy(self) -> bool:
        try:
            return self.get("/healthz") == "ok"
        except (OSError, http.client.HTTPException, KubeletFailed):
            return False
