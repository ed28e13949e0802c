"""The kubelet and Podwright go away and come back in the middle of something."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import eventually
from tests.integration.streaming.pods.remote import SPDY, SpdyRemote
from tests.kubelet.interruptions import OF_PODWRIGHT, OF_THE_KUBELET, Interruption, named
from tests.kubelet.manifests import WAIT, Json, container, host_path, mount, pod, seconds
from tests.kubelet.node import Node
from tests.kubelet.test_streams import SERVES, WEB, command, forwarding
from tests.kubelet.test_survival import COUNTS, goes_on
from tests.kubelet.views import PodView

pytestmark = pytest.mark.root

SHARED = mount("shared", "/shared")


def noted(name: str, script: str = WAIT) -> Json:
    """A container that writes down each of its starts."""
    return container(name, f"echo $(hostname) {name} >>/shared/starts; {script}", **SHARED)


def test_pods_that_are_starting_come_up_and_start_once(
    node: Node, interrupt: Interruption, tmp_path: Path
) -> None:
    volumes = [host_path("shared", tmp_path)]
    helper = noted("helper") | {"restartPolicy": "Always"}
    names = [
        node.kubelet.apply(manifest)
        for manifest in (
            pod("plain", noted("main"), volumes=volumes),
            pod("pair", noted("main"), noted("other"), volumes=volumes),
            pod("prepared", noted("main"), init=[noted("first", "sleep 2"), helper], volumes=volumes),
            pod("one-process", noted("main"), volumes=volumes, shareProcessNamespace=True),
        )
    ]
    failing = node.kubelet.apply(pod("failing", noted("main", "exit 1"), volumes=volumes))
    eventually(node.client.containers, bool, "the first container is there")
    interrupt()
    for name in names:
        seen = node.until(name, lambda view: view.ready, "it is Ready")
        assert [one.state for one in node.sandboxes(seen)].count(pb.SANDBOX_READY) == 1
    again = node.until(failing, lambda view: view["main"].restarts >= 2, "it is restarted twice")
    attempts = Counter(node.attempts(again))
    assert set(attempts.values()) == {1}
    starts = Counter((tmp_path / "starts").read_text().splitlines())
    del starts[f"{failing} main"]
    assert len(starts) == 7
    assert set(starts.values()) == {1}, starts


async def test_what_is_under_way_ends_and_can_be_begun_again(node: Node, interrupt: Interruption) -> None:
    seen = node.run(pod("busy", container("main", WEB, readinessProbe=SERVES)))
    remote = await command(node, seen, SPDY, "sh", "-c", "echo up; exec sleep 424242")
    assert isinstance(remote, SpdyRemote)
    await remote.until_got(b"up")
    client = await forwarding(node, seen, SPDY)
    await asyncio.to_thread(interrupt)
    await remote.client.until(lambda: remote.client.closed)
    after = node.until(seen.name, lambda view: view.ready, "it is Ready")
    _untouched(seen, after)
    again = await command(node, after, SPDY, "echo", "well")
    assert await again.exit_code() == 0
    assert again.got("stdout") == b"well\n"
    for each in (remote, again):
        await each.leave()
    await client.close()


def test_a_log_that_is_followed_stays_whole(node: Node, interrupt: Interruption) -> None:
    seen = node.run(pod("followed", container("main", COUNTS)))
    # Who follows may have to begin anew: the kubelet gives up when it cannot ask whether the container runs.
    with node.kubelet.asked("GET", f"/containerLogs/default/{seen.name}/main", follow="true") as answer:
        assert answer.read(6) == b"1\n2\n3\n"
        interrupt()
    _untouched(seen, node.until(seen.name, lambda view: view.ready, "it is Ready"))
    goes_on(node, seen)


@pytest.mark.parametrize("interrupt", OF_PODWRIGHT, indirect=True, ids=named)
def test_a_pod_that_is_ending_has_its_whole_grace(
    node: Node, interrupt: Interruption, tmp_path: Path
) -> None:
    assert _ended(node, interrupt, tmp_path)[-1] == "saved"


@pytest.mark.parametrize("interrupt", OF_THE_KUBELET, indirect=True, ids=named)
def test_a_pod_that_is_ending_ends(node: Node, interrupt: Interruption, tmp_path: Path) -> None:
    # The new kubelet knows no manifest of it any more, and grants two seconds of its own.
    assert _ended(node, interrupt, tmp_path)[:2] == ["up", "asked"]


def _ended(node: Node, interrupt: Interruption, directory: Path) -> list[str]:
    """What a container has to say that takes three seconds to end, interrupted in the first."""
    script = (
        "trap 'echo asked >>/shared/said; sleep 3; echo saved >>/shared/said; exit 0' TERM;"
        " echo up >>/shared/said; sleep 1000000 & wait"
    )
    seen = node.run(
        pod(
            "ending",
            container("main", script, **SHARED),
            volumes=[host_path("shared", directory)],
            terminationGracePeriodSeconds=seconds(60),
        )
    )
    said = directory / "said"
    said.touch()
    eventually(said.read_text, lambda text: "up" in text, "it is up")
    node.kubelet.withdraw(seen.name)
    eventually(said.read_text, lambda text: "asked" in text, "it is asked to end")
    interrupt()
    node.idle()
    words = said.read_text().split()
    assert words.count("up") == 1
    return words


def _untouched(before: PodView, after: PodView) -> None:
    """No container was replaced."""
    assert {name: one.id for name, one in after.containers.items()} == {
        name: one.id for name, one in before.containers.items()
    }
    assert all(one.restarts == 0 for one in after.containers.values())
