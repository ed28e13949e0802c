"""A container as the daemon knows it.

    CREATING ──by the runtime──▶ CREATED ──start──▶ RUNNING ──its process ended──▶ EXITED ──remove──▶ gone
        │                           └──start failed, its process ended──────────────▲
        └──failed, or the daemon was killed──▶ released, gone

Only what left CREATING is listed. Phases change in lifecycle.py.
"""

import asyncio
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.queue import Queue
from cri.ready_bytes import listed
from cri.records import Row, require_types
from cri.stats.rate import CpuRate
from oci.monitor.types import Exited

KIND = "container"
# What the state of a row must have.
_NUMBERS = ("created_ns", "stop_signal", "pid", "started_ns", "finished_ns", "exit_code")
_TEXTS = ("sandbox_id", "handler", "image_id", "image_ref", "cgroup_path", "phase", "reason", "message")


class Phase(StrEnum):
    """Where a container is in its life."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


_CRI_STATE = {
    Phase.CREATING: pb.CONTAINER_CREATED,
    Phase.CREATED: pb.CONTAINER_CREATED,
    Phase.RUNNING: pb.CONTAINER_RUNNING,
    Phase.EXITED: pb.CONTAINER_EXITED,
}


@dataclass(slots=True)
class Container:
    """A container; ``config`` is what CreateContainer brought, but for resources, which updates change."""

    id: ContainerId
    name: str
    sandbox_id: SandboxId
    config: pb.ContainerConfig
    handler: str
    image_id: ImageId
    image_ref: str
    created_ns: int
    log_path: Path | None = None
    cgroup_path: str = ""
    stop_signal: int = 15
    phase: Phase = Phase.CREATING
    pid: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    # uid, gid and supplementary groups of the first process.
    user: tuple[int, int, tuple[int, ...]] = (0, 0, ())
    # Set when the process has ended and its log is complete; not stored.
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    # While it is being stopped: when SIGKILL is due (monotonic clock), and a bell for when that changes.
    stop_deadline: float | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    # Its process has ended before it was CREATED.
    early_exit: Exited | None = None
    queue: Queue = field(default_factory=Queue)
    cpu_rate: CpuRate = field(default_factory=CpuRate)
    # Set when nobody wants it any more: what still makes it, in a thread perhaps, gives up.
    abandoned: bool = False
    _listed: tuple[int, bytes] | None = None

    def to_row(self) -> Row:
        state = {
            "sandbox_id": self.sandbox_id,
            "handler": self.handler,
            "image_id": self.image_id,
            "image_ref": self.image_ref,
            "created_ns": self.created_ns,
            "log_path": str(self.log_path) if self.log_path else None,
            "cgroup_path": self.cgroup_path,
            "stop_signal": self.stop_signal,
            "phase": self.phase,
            "pid": self.pid,
            "started_ns": self.started_ns,
            "finished_ns": self.finished_ns,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "message": self.message,
            "user": self.user,
        }
        return Row(self.id, self.name, self.config.SerializeToString(), json.dumps(state))

    @classmethod
    def from_row(cls, row: Row) -> "Container":
        """Read back what ``to_row`` wrote."""
        state = json.loads(row.state)
        require_types(state, **dict.fromkeys(_NUMBERS, int), **dict.fromkeys(_TEXTS, str))
        uid, gid, groups = state.pop("user")
        log_path = state.pop("log_path")
        container = cls(
            id=ContainerId(row.id),
            name=row.name,
            config=pb.ContainerConfig.FromString(row.config),
            phase=Phase(state.pop("phase")),
            user=(uid, gid, tuple(groups)),
            log_path=Path(log_path) if log_path else None,
            **state,
        )
        if container.phase is Phase.EXITED:
            container.exited.set()
        return container

    @property
    def alive(self) -> bool:
        """True while a process of it may exist."""
        return self.phase in (Phase.CREATED, Phase.RUNNING)

    def cri_state(self) -> pb.ContainerState.ValueType:
        return _CRI_STATE[self.phase]

    def image_spec(self) -> pb.ImageSpec:
        """The image by the name its user knows, where the request carries one."""
        spec = pb.ImageSpec()
        spec.CopyFrom(self.config.image)
        spec.image = spec.user_specified_image or spec.image
        return spec

    def listed(self) -> bytes:
        """The item as a part of list answers (cri/ready_bytes.py), made once for each state."""
        state = self.cri_state()
        if self._listed is None or self._listed[0] != state:
            self._listed = state, listed(self.item())
        return self._listed[1]

    def item(self) -> pb.Container:
        """The message that lists carry."""
        return pb.Container(
            id=self.id,
            pod_sandbox_id=self.sandbox_id,
            metadata=self.config.metadata,
            image=self.image_spec(),
            image_ref=self.image_ref or self.image_id,
            image_id=self.image_id,
            created_at=self.created_ns,
            labels=self.config.labels,
            annotations=self.config.annotations,
            state=self.cri_state(),
        )
