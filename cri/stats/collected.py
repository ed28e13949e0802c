"""What was collected of pods and containers before anybody asked (collection_period of [crio.stats])."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.runtime.v1 import api_pb2 as pb


@dataclass(slots=True)
class Collected:
    """The last of each, by id; None where it is read when it is asked for."""

    containers: Mapping[str, pb.ContainerStats] | None = None
    pods: Mapping[str, pb.PodSandboxStats] | None = None
    metrics: Sequence[pb.PodSandboxMetrics] | None = None
