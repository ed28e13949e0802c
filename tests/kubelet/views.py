"""What tests look at in a pod that the kubelet's /pods shows, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

WAITING, RUNNING, TERMINATED = "waiting", "running", "terminated"


@dataclass(frozen=True, slots=True)
class State:
    """One state of a container; ``kind`` is ``waiting``, ``running`` or ``terminated``, or empty for none."""

    kind: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    container_id: str = ""

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Self:
        """Read core/v1 ContainerState."""
        for kind, told in status.items():
            return cls(
                kind,
                told.get("reason", ""),
                told.get("message", ""),
                told.get("exitCode"),
                told.get("containerID", "").rpartition("/")[2],
            )
        return cls()


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container; ``id`` without the ``podwright://``."""

    id: str
    image: str
    image_id: str
    ready: bool
    started: bool
    restarts: int
    state: State
    last: State

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Self:
        """Read core/v1 ContainerStatus."""
        return cls(
            status.get("containerID", "").rpartition("/")[2],
            status["image"],
            status["imageID"],
            status["ready"],
            bool(status.get("started")),
            status["restartCount"],
            State.of(status.get("state", {})),
            State.of(status.get("lastState", {})),
        )


UNKNOWN = ContainerView("", "", "", False, False, 0, State(), State())


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod; ``containers`` are the ordinary and the init containers by name."""

    name: str
    uid: str
    phase: str
    ip: str
    conditions: Mapping[str, bool]
    containers: Mapping[str, ContainerView]

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> Self:
        """Read core/v1 Pod."""
        status = pod["status"]
        containers = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
        return cls(
            pod["metadata"]["name"],
            pod["metadata"]["uid"],
            status["phase"],
            status.get("podIP", ""),
            {one["type"]: one["status"] == "True" for one in status.get("conditions", [])},
            {one["name"]: ContainerView.of(one) for one in containers},
        )

    @property
    def ready(self) -> bool:
        """Whether the kubelet would send it traffic."""
        return self.conditions.get("Ready", False)

    def __getitem__(self, name: str) -> ContainerView:
        """A container; one without id while the kubelet has no status of it yet."""
        return self.containers.get(name, UNKNOWN)
