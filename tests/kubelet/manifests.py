"""Pods as they are written into the kubelet's directory of static pods, with what tests do not care about."""

import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.critest.images import E2E
from tests.harness.patience import patient

Json = dict[str, Any]

IMAGE = f"{E2E}/busybox:1.29-2"
# As pid 1 it must handle SIGTERM itself, or its end would take the whole grace period.
WAIT = "trap 'exit 0' TERM; sleep 1000000 & wait"


def seconds(number: float) -> int:
    """A time that the kubelet grants, stretched where `tests.harness.patience` says so."""
    return math.ceil(patient(number))


def container(name: str, script: str = WAIT, **fields: object) -> Json:
    """A busybox container that runs ``script``; ``fields`` are those of core/v1 Container."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


def host_path(name: str, path: Path) -> Json:
    """A volume: a directory of the node, so that what was written there outlives the pod."""
    return {"name": name, "hostPath": {"path": str(path)}}


def mount(name: str, place: str, **fields: object) -> Json:
    """A field of a container: one volume at one place."""
    return {"volumeMounts": [{"name": name, "mountPath": place, **fields}]}


def pod(
    name: str,
    *containers: Json,
    init: Sequence[Json] = (),
    volumes: Sequence[Json] = (),
    metadata: Mapping[str, object] | None = None,
    **spec: object,
) -> Json:
    """A pod of these containers; ``spec`` are further fields of core/v1 PodSpec.

    Its name gets a random ending: a static pod whose name was in use a moment ago is put off for ten seconds
    by the kubelet, and equal files it takes for the same pod, one with restarts behind it.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-{secrets.token_hex(3)}", "namespace": "default", **(metadata or {})},
        "spec": {
            "containers": list(containers) or [container("main")],
            "initContainers": list(init),
            "volumes": list(volumes),
            "terminationGracePeriodSeconds": seconds(2),
            **spec,
        },
    }
