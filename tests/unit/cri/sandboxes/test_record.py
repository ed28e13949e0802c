"""Sandbox records: stored and read back, and what lists show."""

import json
from dataclasses import replace
from pathlib import Path

from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.record import Phase, Sandbox


def _sandbox() -> Sandbox:
    metadata = pb.PodSandboxMetadata(name="web", namespace="shop", uid="u", attempt=1)
    config = pb.PodSandboxConfig(metadata=metadata, labels={"a": "b"}, annotations={"c": "d"})
    sandbox = Sandbox(SandboxId("1" * 64), "k8s_web_shop_u_1", config, "runc", created_ns=5)
    sandbox.phase = Phase.READY
    sandbox.namespaces = {"net": Path("/run/x/net")}
    sandbox.ips = ("10.0.0.2", "fd00::2")
    sandbox.attached = True
    sandbox.pause_pid = 7
    sandbox.cgroup_parent = "/pods.slice"
    sandbox.undo_failed = True
    return sandbox


def test_a_record_reads_back_as_it_was() -> None:
    sandbox = _sandbox()
    again = Sandbox.from_row(sandbox.to_row())
    for field in (
        "id",
        "name",
        "config",
        "handler",
        "created_ns",
        "phase",
        "namespaces",
        "ips",
        "attached",
        "pause_pid",
        "cgroup_parent",
        "undo_failed",
    ):
        assert getattr(again, field) == getattr(sandbox, field), field


def test_a_record_of_an_earlier_daemon_reads_too() -> None:
    row = _sandbox().to_row()
    state = json.loads(row.state)
    del state["undo_failed"]
    assert not Sandbox.from_row(replace(row, state=json.dumps(state))).undo_failed


def test_only_a_ready_sandbox_is_ready() -> None:
    sandbox = _sandbox()
    assert sandbox.item().state == pb.SANDBOX_READY
    sandbox.phase = Phase.STOPPED
    assert sandbox.item().state == pb.SANDBOX_NOTREADY
    assert sandbox.item().labels == {"a": "b"}


def test_namespaces_have_the_names_of_the_runtime_spec() -> None:
    assert _sandbox().oci_namespaces() == {"network": Path("/run/x/net")}
