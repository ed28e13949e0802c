"""Names by which repeats of a request are recognised: one per pod or container and attempt.

They are CRI-O's, so that log searches and dashboards that know them keep working.
"""

from api.errors import InvalidArgument
from api.runtime.v1 import api_pb2 as pb


class IncompleteMetadata(InvalidArgument):
    """A field of the metadata that must identify the object is empty."""


class BadName(InvalidArgument):
    """A name that would mean something else to whom it is handed."""


def _require(owner: str, **fields: str) -> None:
    for name, value in fields.items():
        if not value:
            raise IncompleteMetadata(
                f"{owner}.metadata.{name} is empty: it identifies the object, give it a value"
            )
        if ";" in value:
            raise BadName(
                f"{owner}.metadata.{name} {value!r}: a semicolon parts the arguments of CNI plugins"
            )


def sandbox_name(metadata: pb.PodSandboxMetadata) -> str:
    """``k8s_<pod>_<namespace>_<uid>_<attempt>``.

    Raises:
        IncompleteMetadata: name, namespace or uid is empty.
    """
    _require("config", name=metadata.name, namespace=metadata.namespace, uid=metadata.uid)
    return f"k8s_{metadata.name}_{metadata.namespace}_{metadata.uid}_{metadata.attempt}"


def container_name(metadata: pb.ContainerMetadata, sandbox: pb.PodSandboxMetadata) -> str:
    """``k8s_<container>_<pod>_<namespace>_<uid>_<attempt>``; uid and so the name are unique to the pod.

    Raises:
        IncompleteMetadata: the container's name is empty.
    """
    _require("config", name=metadata.name)
    return f"k8s_{metadata.name}_{sandbox.name}_{sandbox.namespace}_{sandbox.uid}_{metadata.attempt}"
