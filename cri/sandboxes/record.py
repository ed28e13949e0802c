"""A pod sandbox as the daemon knows it.

    CREATING ──RunPodSandbox done──▶ READY ──StopPodSandbox──▶ STOPPING ──done──▶ STOPPED ──Remove──▶ gone
        │                              └──pause process died─────────────────────▲
        └──failed or daemon killed──▶ released, gone                             │
                                └──that failed, too: with undo_failed────────────┘

All but CREATING ones are listed. STOPPING is on disk before the first container is ended: a daemon that is
killed in the midst finds a sandbox that is not ready, and the repeat of StopPodSandbox, which the kubelet
sends, does the rest. One with ``undo_failed`` never was ready: RunPodSandbox under the same name releases it
first, as StopPodSandbox and RemovePodSandbox do with any. Phases change in lifecycle.py.
"""

import asyncio
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from api.errors import FailedPrecondition
from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.queue import Queue
from cri.ready_bytes import listed
from cri.records import Row, require_types
from cri.sandboxes.validate import wants_user_namespace
from cri.stats.rate import CpuRate

KIND = "sandbox"
DEFAULT_CGROUP_PREFIX = "podwright"
# What the state of a row must have.
_NUMBERS = ("created_ns", "pause_pid")
_TEXTS = ("handler", "phase", "runtime", "cgroup_parent")


class SandboxNotReady(FailedPrecondition):
    """The sandbox is being made or was stopped, and what was asked for needs a ready one."""


# Pinned namespaces by kind, and what the runtime-spec calls them.
_OCI_NAMESPACES = {"net": "network", "ipc": "ipc", "uts": "uts", "user": "user"}


class Phase(StrEnum):
    """Where a sandbox is in its life."""

    CREATING = "creating"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(slots=True)
class Sandbox:
    """A pod sandbox; ``config`` is what RunPodSandbox brought, but for resources, which updates change."""

    id: SandboxId
    name: str
    config: pb.PodSandboxConfig
    handler: str
    created_ns: int
    phase: Phase = Phase.CREATING
    # Pinned namespaces, by kind ("net", "ipc", "uts", "user"), as paths of bind mounts.
    namespaces: dict[str, Path] = field(default_factory=dict)
    ips: tuple[str, ...] = ()
    # True from before CNI ADD until CNI DEL succeeded.
    attached: bool = False
    # Pid of the pause process; 0 when the pod has none.
    pause_pid: int = 0
    # The handler that serves it: where the request named none, what was the default then.
    runtime: str = ""
    # The cgroup above those of its processes, as cri.cgroups understood the request.
    cgroup_parent: str = ""
    # What their names begin with.
    cgroup_prefix: str = DEFAULT_CGROUP_PREFIX
    # The directory of its logs, by a path without links (oci/monitor/places.py); None: not settled yet.
    log_directory: Path | None = None
    # RunPodSandbox failed, and so did the release of what it had made.
    undo_failed: bool = False
    # The pause process has ended before the sandbox was ready.
    pause_ended: bool = False
    # Set when it is not ready any more; not stored.
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    queue: Queue = field(default_factory=Queue)
    cpu_rate: CpuRate = field(default_factory=CpuRate)
    _listed: tuple[int, bytes] | None = None

    @property
    def options(self) -> pb.NamespaceOption:
        return self.config.linux.security_context.namespace_options

    @property
    def host_network(self) -> bool:
        return self.options.network == pb.NODE

    @property
    def has_user_namespace(self) -> bool:
        """Whether the pod has a user namespace of its own; an unset message means the node's."""
        return wants_user_namespace(self.options)

    @property
    def root_ids(self) -> tuple[int, int]:
        """Uid and gid on the node of root in the pod."""
        if not self.has_user_namespace:
            return 0, 0
        user = self.options.userns_options
        return user.uids[0].host_id, user.gids[0].host_id

    def require_ready(self, need: str) -> None:
        """Refuse unless the sandbox is ready; ``need`` ends the sentence: "containers need a ready one".

        Raises:
            SandboxNotReady: see there.
        """
        if self.phase is not Phase.READY:
            raise SandboxNotReady(f"sandbox {self.id[:12]} is {self.phase}: {need}")

    def oci_namespaces(self) -> dict[str, Path]:
        """The pinned files by runtime-spec type."""
        return {_OCI_NAMESPACES[kind]: path for kind, path in self.namespaces.items()}

    def to_row(self) -> Row:
        state = {
            "handler": self.handler,
            "created_ns": self.created_ns,
            "phase": self.phase,
            "namespaces": {kind: str(path) for kind, path in self.namespaces.items()},
            "ips": self.ips,
            "attached": self.attached,
            "pause_pid": self.pause_pid,
            "runtime": self.runtime,
            "cgroup_parent": self.cgroup_parent,
            "cgroup_prefix": self.cgroup_prefix,
            "log_directory": str(self.log_directory) if self.log_directory else None,
            "undo_failed": self.undo_failed,
        }
        return Row(self.id, self.name, self.config.SerializeToString(), json.dumps(state))

    @classmethod
    def from_row(cls, row: Row) -> "Sandbox":
        """Read back what ``to_row`` wrote."""
        state = json.loads(row.state)
        require_types(state, **dict.fromkeys(_NUMBERS, int), **dict.fromkeys(_TEXTS, str), attached=bool)
        return cls(
            id=SandboxId(row.id),
            name=row.name,
            config=pb.PodSandboxConfig.FromString(row.config),
            handler=state["handler"],
            created_ns=state["created_ns"],
            phase=Phase(state["phase"]),
            namespaces={kind: Path(path) for kind, path in state["namespaces"].items()},
            ips=tuple(state["ips"]),
            attached=state["attached"],
            pause_pid=state["pause_pid"],
            runtime=state["runtime"],
            cgroup_parent=state["cgroup_parent"],
            # Rows of earlier daemons lack these.
            cgroup_prefix=state.get("cgroup_prefix", DEFAULT_CGROUP_PREFIX),
            log_directory=Path(state["log_directory"]) if state.get("log_directory") else None,
            undo_failed=state.get("undo_failed", False),
        )

    def cri_state(self) -> pb.PodSandboxState.ValueType:
        return pb.SANDBOX_READY if self.phase is Phase.READY else pb.SANDBOX_NOTREADY

    def listed(self) -> bytes:
        """The item as a part of list answers (cri/ready_bytes.py), made once for each state."""
        state = self.cri_state()
        if self._listed is None or self._listed[0] != state:
            self._listed = state, listed(self.item())
        return self._listed[1]

    def item(self) -> pb.PodSandbox:
        """The message that lists carry."""
        return pb.PodSandbox(
            id=self.id,
            metadata=self.config.metadata,
            created_at=self.created_ns,
            labels=self.config.labels,
            annotations=self.config.annotations,
            runtime_handler=self.handler,
            state=self.cri_state(),
        )
