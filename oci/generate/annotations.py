"""Annotations of the document: keys by which runtimes recognise pods, and of the request's those that may
pass.

Runtimes, and what is built on them, are steered by annotations past the CRI: handlers, hooks, hypervisors,
cgroup writes, systemd units. Each has names of its own, and nobody knows those of the next. So no
annotation of a pod or container reaches a runtime unless the handler's ``allowed_annotations`` name it;
images have no say at all. CRI clients and network plugins see all annotations nevertheless: they do not
read this document.
"""

from collections.abc import Mapping, Sequence

from oci.generate.inputs import ContainerInput, PauseInput

_SCOPE = {
    # For crun, which else puts processes below their scope, where later limits of it would not be all.
    "run.oci.systemd.subgroup": "",
    # When the machine goes down, containers are asked to end while the daemon still sees it, and not at the
    # very last by systemd-shutdown (systemd.scope(5), systemd.unit(5)).
    "org.systemd.property.DefaultDependencies": "true",
    "org.systemd.property.After": "['podwright.service']",
    "org.systemd.property.TimeoutStopUSec": "uint64 30000000",
}


def container_annotations(container: ContainerInput) -> dict[str, str]:
    """What of the pod's author's the handler lets pass, the handler's own, and ours.

    Ours win over both, but for the scope's, which the node's owner may set otherwise.
    """
    sandbox = container.sandbox
    ours = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": container.name,
        "io.kubernetes.cri.image-name": container.image_name,
        "io.kubernetes.cri.sandbox-id": sandbox.id,
        "io.kubernetes.cri.sandbox-name": sandbox.name,
        "io.kubernetes.cri.sandbox-namespace": sandbox.namespace,
        "io.kubernetes.cri.sandbox-uid": sandbox.uid,
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.cri-o.SandboxID": sandbox.id,
    }
    kept = allowed(container.annotations, container.defaults.allowed_annotations)
    named = {name: value for name, value in ours.items() if value}
    scope = scope_annotations(container.cgroups_path)
    return {**scope, **container.defaults.annotations, **kept} | named


def pause_annotations(pause: PauseInput) -> dict[str, str]:
    """The same for the sandbox's own container."""
    ours = {
        "io.kubernetes.cri.container-type": "sandbox",
        "io.kubernetes.cri.sandbox-id": pause.id,
        "io.kubernetes.cri-o.ContainerType": "sandbox",
        "io.kubernetes.cri-o.SandboxID": pause.id,
    }
    kept = allowed(pause.annotations, pause.defaults.allowed_annotations)
    return {**scope_annotations(pause.cgroups_path), **pause.defaults.annotations, **kept} | ours


def scope_annotations(cgroups_path: str) -> dict[str, str]:
    """How a process' systemd scope is made; none under the other driver."""
    return {} if cgroups_path.startswith("/") else dict(_SCOPE)


def allowed(annotations: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """Those whose names begin with one of ``prefixes``, letter by letter; other spellings are other names."""
    beginnings = tuple(filter(None, prefixes))  # the empty one would be that of all
    return {name: value for name, value in annotations.items() if name.startswith(beginnings)}
