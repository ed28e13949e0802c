from dataclasses import replace
from pathlib import Path

import pytest

from api.ids import SandboxId
from oci.generate.annotations import container_annotations, pause_annotations
from oci.generate.inputs import Defaults, PauseInput
from tests.unit.oci.generate.builders import a_container


def test_runtimes_recognise_pod_and_container() -> None:
    found = container_annotations(a_container(annotations={"a": "b"}))
    assert found["io.kubernetes.cri.container-type"] == "container"
    assert found["io.kubernetes.cri.sandbox-id"] == "5" * 64
    assert found["io.kubernetes.cri.container-name"] == "web"
    pause = pause_annotations(PauseInput(SandboxId("p"), Path("/r"), "/c"))
    assert pause["io.kubernetes.cri.container-type"] == "sandbox"


def test_a_pod_cannot_pose_as_another() -> None:
    found = container_annotations(a_container(annotations={"io.kubernetes.cri.sandbox-id": "other"}))
    assert found["io.kubernetes.cri.sandbox-id"] == "5" * 64


STEERING = (
    "run.oci.handler",
    "RUN.OCI.handler",
    " run.oci.handler",
    "run.oci.handler ",
    "run.oci.",
    "run.oci.hooks.stderr",
    "run.oci.seccomp_bpf_data",
    "org.systemd.property.ExecStartPre",
    "org.criu.config",
    "module.wasm.image/variant",
    "krun.cpus",
    "krun.use_gpu",
    "io.crun.x",
    "dev.gvisor.flag.debug",
    "dev.gvisor.spec.mount.x.share",
    "io.katacontainers.config.hypervisor.path",
    "IO.KataContainers.config.hypervisor.path",
    "com.github.containers.virtcontainers.x",
    "com.github.urunc.unikernel.cmdline",
    "io.kubernetes.cri-o.userns-mode",
    "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw",
    "io.kubernetes.cri-o.ShmSize",
    "io.kubernetes.cri-o.UnifiedCgroup.x",
    "io.kubernetes.cri.untrusted-workload",
    "seccomp-profile.kubernetes.cri-o.io",
    "io.containers.trace-syscall",
    "com.next-year.runtime.kernel",
    "note",
)


@pytest.mark.parametrize("name", STEERING)
def test_no_annotation_reaches_a_runtime_unless_its_handler_lets_it(name: str) -> None:
    """Names that steer are the runtimes' own, so that a list of them has always holes."""
    container = container_annotations(a_container(annotations={name: "x"}))
    pause = PauseInput(SandboxId("p"), Path("/r"), "/c", annotations={name: "x"})
    assert "x" not in container.values()
    assert "x" not in pause_annotations(pause).values()
    defaults = Defaults(allowed_annotations=(name,))
    assert container_annotations(a_container(annotations={name: "x"}, defaults=defaults))[name] == "x"
    assert pause_annotations(replace(pause, defaults=defaults))[name] == "x"


def test_leave_is_given_letter_by_letter() -> None:
    defaults = Defaults(allowed_annotations=("", "run.oci."))
    spelled = {"RUN.OCI.x": "x", " run.oci.x": "x", "xrun.oci.x": "x", "run_oci.x": "x"}
    assert "x" not in container_annotations(a_container(annotations=spelled, defaults=defaults)).values()


def test_what_steers_the_runtime_needs_leave() -> None:
    steering = {"run.oci.keep_original_groups": "1", "org.systemd.property.X": "1"}
    assert steering.keys().isdisjoint(container_annotations(a_container(annotations=steering)))
    allowed = a_container(annotations=steering, defaults=Defaults(allowed_annotations=("run.oci.keep",)))
    assert container_annotations(allowed).keys() & steering.keys() == {"run.oci.keep_original_groups"}


def test_the_handlers_annotations_hold_until_the_request_says_otherwise() -> None:
    own = {"run.oci.handler": "krun", "a": "handler", "b": "handler"}
    defaults = Defaults(annotations=own, allowed_annotations=("a",))
    asked = a_container(annotations={"a": "request", "b": "request"}, defaults=defaults)
    found = container_annotations(asked)
    assert found["run.oci.handler"] == "krun"  # the node's owner wrote it: it needs no leave
    assert found["a"] == "request"
    assert found["b"] == "handler"
    pause = PauseInput(SandboxId("p"), Path("/r"), "/c", defaults=defaults)
    assert pause_annotations(pause)["a"] == "handler"


def test_a_scope_is_stopped_before_the_daemon_when_the_machine_goes_down() -> None:
    scope = "podwright.slice:podwright:c"
    found = container_annotations(a_container(cgroups_path=scope))
    assert found["org.systemd.property.After"] == "['podwright.service']"
    assert found["org.systemd.property.DefaultDependencies"] == "true"
    pause = pause_annotations(PauseInput(SandboxId("p"), Path("/r"), scope))
    assert pause["org.systemd.property.TimeoutStopUSec"] == "uint64 30000000"
    assert not [name for name in container_annotations(a_container()) if name.startswith("org.systemd.")]


def test_the_nodes_owner_may_give_a_scope_other_properties() -> None:
    name = "org.systemd.property.TimeoutStopUSec"
    defaults = Defaults(allowed_annotations=(name,))
    wanted = a_container(cgroups_path="a.slice:b:c", annotations={name: "uint64 5"}, defaults=defaults)
    assert container_annotations(wanted)[name] == "uint64 5"
