"""Version, Status, RuntimeConfig and UpdateRuntimeConfig."""

import json
import logging
import os

from api.runtime.v1 import api_pb2 as pb
from conf.sample import differences, document
from cri.node import Node
from cri.stuck_logs import describe
from cri.version import VERSION

logger = logging.getLogger(__name__)

# The kubelet insists on this text (kubeRuntimeAPIVersion), whatever the runtime's own version.
KUBE_API_VERSION = "0.1.0"
CRI_VERSION = "v1"


async def version(node: Node, request: pb.VersionRequest) -> pb.VersionResponse:
    """Names and versions; every field must be set."""
    return pb.VersionResponse(
        version=KUBE_API_VERSION,
        runtime_name="podwright",
        runtime_version=VERSION,
        runtime_api_version=CRI_VERSION,
    )


async def status(node: Node, request: pb.StatusRequest) -> pb.StatusResponse:
    """The two conditions that make a node Ready, and what each handler can do."""
    network = node.network.ready()
    no_runtime, monitor_problem = node.handlers.problem(), node.stuck_logs.monitor_problem
    conditions = [
        pb.RuntimeCondition(
            type="RuntimeReady",
            status=not (no_runtime or monitor_problem),
            reason="NoRuntime" if no_runtime else "MonitorSilent" if monitor_problem else "",
            message=no_runtime or monitor_problem,
        ),
        pb.RuntimeCondition(
            type="NetworkReady", status=network.ok, reason=network.reason, message=network.message
        ),
    ]
    return pb.StatusResponse(
        status=pb.RuntimeStatus(conditions=conditions),
        runtime_handlers=node.handlers.messages(node.host),
        features=pb.RuntimeFeatures(
            supplemental_groups_policy=True,
            user_namespaces_host_network=node.handlers.has_user_namespaces("", node.host),
            mount_options=True,
        ),
        info=_info(node) if request.verbose else None,
    )


def operations(node: Node) -> list[dict[str, object]]:
    """What runs now, the oldest first."""
    return [
        {
            "verb": operation.verb,
            "subject": operation.subject,
            "seconds": round(operation.seconds(), 3),
            "steps": operation.describe_steps(),
        }
        for operation in node.operations.running()
    ]


def _info(node: Node) -> dict[str, str]:
    config = {
        "sandboxImage": node.config.image.pause_image,
        "crio": document(node.config),
        "stateDir": str(node.paths.runroot),
        "root": str(node.config.root),
        "podwright": differences(node.config),
    }
    return {
        "config": json.dumps(config),
        "daemon": json.dumps({"pid": os.getpid(), "version": VERSION}),
        "operations": json.dumps({"running": operations(node)}),
        "troubles": json.dumps(troubles(node)),
    }


def troubles(node: Node) -> list[dict[str, str]]:
    """What does not work on this node and what is tried again, as ``subject`` and ``error``."""
    found = [
        {"subject": one.key, "error": f"{one.error} (tried {one.tries} times)"}
        for one in node.background.troubles()
    ]
    found += [{"subject": "disk", "error": text} for text in node.space.problems()]
    found += [{"subject": "logs", "error": describe(log)} for log in node.stuck_logs.logs]
    if node.records.problem:
        found.append({"subject": "records", "error": node.records.problem})
    found += [{"subject": "images", "error": text} for text in node.images.problems()]
    return found


async def runtime_config(node: Node, request: pb.RuntimeConfigRequest) -> pb.RuntimeConfigResponse:
    """The cgroup driver in use, which the kubelet takes over."""
    driver = pb.SYSTEMD if node.cgroup_driver.name == "systemd" else pb.CGROUPFS
    return pb.RuntimeConfigResponse(linux=pb.LinuxRuntimeConfiguration(cgroup_driver=driver))


async def update_runtime_config(
    node: Node, request: pb.UpdateRuntimeConfigRequest
) -> pb.UpdateRuntimeConfigResponse:
    """Accepted and left alone, as in CRI-O: the pod range belongs to the CNI configuration."""
    if request.runtime_config.network_config.pod_cidr:
        logger.info(
            "pod_cidr %s ignored: it is set in the CNI configuration",
            request.runtime_config.network_config.pod_cidr,
        )
    return pb.UpdateRuntimeConfigResponse()
