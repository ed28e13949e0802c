"""Container records: stored and read back, and what lists show."""

from dataclasses import fields
from pathlib import Path

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.containers.record import Container, Phase

UNSTORED = ("exited", "hurry", "stop_deadline", "early_exit", "queue", "_listed")
FIELDS = [field.name for field in fields(Container) if field.name not in UNSTORED]


def _container(phase: Phase) -> Container:
    return Container(
        id=ContainerId("2" * 64),
        name="k8s_main_web_shop_u_0",
        sandbox_id=SandboxId("1" * 64),
        config=pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name="main"),
            image=pb.ImageSpec(image="sha256:9", user_specified_image="busybox:1"),
            labels={"a": "b"},
        ),
        handler="crun",
        image_id=ImageId("sha256:9"),
        image_ref="docker.io/library/busybox@sha256:8",
        created_ns=5,
        log_path=Path("/var/log/pods/main/0.log"),
        cgroup_path="/pods/podwright-2",
        stop_signal=10,
        phase=phase,
        pid=7,
        started_ns=6,
        exit_code=3,
        reason="Error",
        message="text",
        user=(1000, 1000, (1000, 50000)),
    )


@pytest.mark.parametrize("phase", list(Phase))
def test_a_record_reads_back_as_it_was(phase: Phase) -> None:
    container = _container(phase)
    again = Container.from_row(container.to_row())
    for field in FIELDS:
        assert getattr(again, field) == getattr(container, field), field
    assert again.exited.is_set() == (phase is Phase.EXITED)


def test_lists_show_the_image_by_the_name_its_user_knows() -> None:
    item = _container(Phase.RUNNING).item()
    assert (item.image.image, item.image_id) == ("busybox:1", "sha256:9")
    assert item.image_ref == "docker.io/library/busybox@sha256:8"
    assert item.state == pb.CONTAINER_RUNNING


@pytest.mark.parametrize("phase", [Phase.CREATED, Phase.RUNNING])
def test_a_process_may_live_until_the_exit_is_noted(phase: Phase) -> None:
    assert _container(phase).alive
    assert not _container(Phase.EXITED).alive
