"""Workloads as one writes them for the API server; their pods are those of tests.kubelet.manifests."""

from collections.abc import Mapping

from tests.critest.images import E2E
from tests.kubelet.manifests import Json

OTHER_IMAGE = "public.ecr.aws/docker/library/busybox:1.35.0-glibc"
WEB_IMAGE = f"{E2E}/nginx:1.14-2"


def workload(kind: str, name: str, template: Json, **spec: object) -> Json:
    """A Deployment or DaemonSet (apps/v1) of ``template``, a pod; its pods have the label ``app``."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
            **spec,
        },
    }


def job(name: str, template: Json, **spec: object) -> Json:
    """A batch/v1 Job; its pods have the label ``app``."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]}, **spec},
    }


def service(name: str, port: int, target: int, **spec: object) -> Json:
    """A Service for the pods with the label ``app: name``."""
    ports = [{"port": port, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }


def config_map(name: str, data: Mapping[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(data)}


def secret(name: str, data: Mapping[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(data)}
