"""The kubelet and Podwright go away and come back while pods run: no container notices."""

import pytest

from tests.harness.client import eventually
from tests.kubelet.interruptions import Interruption
from tests.kubelet.manifests import Json, container, pod, seconds
from tests.kubelet.node import Node
from tests.kubelet.views import PodView

pytestmark = pytest.mark.root

COUNTS = "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done"


def several() -> list[Json]:
    """Pods of several kinds; ``true`` as a probe keeps the runtime asked all the time."""
    probe: Json = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 30}
    probe |= {"timeoutSeconds": seconds(1)}
    counting = container("main", COUNTS, livenessProbe=probe, readinessProbe=probe)
    helper = container("helper", restartPolicy="Always")
    return [
        pod("counting", counting),
        pod("assisted", container("main"), init=[container("first", "true"), helper]),
        pod("on-host", container("main"), hostNetwork=True),
        pod("together", container("main"), container("other"), shareProcessNamespace=True),
    ]


def test_no_container_is_restarted(node: Node, interrupt: Interruption) -> None:
    before = {seen.name: seen for seen in [node.run(manifest) for manifest in several()]}
    interrupt()
    for name, seen in before.items():
        after = node.until(name, lambda view: view.ready, "it is Ready")
        assert {key: one.id for key, one in after.containers.items()} == {
            key: one.id for key, one in seen.containers.items()
        }
        assert all(one.restarts == 0 for one in after.containers.values())
    counting = next(seen for name, seen in before.items() if name.startswith("counting-"))
    goes_on(node, counting)
    assert node.exec(counting, "echo well") == "well\n"


def goes_on(node: Node, counting: PodView) -> None:
    """Its log grows, and no number is missing or twice."""
    last = len(node.kubelet.logs(counting.name, "main").splitlines())
    text = eventually(
        lambda: node.kubelet.logs(counting.name, "main"),
        lambda text: len(text.splitlines()) > last + 5,
        "its log grows",
    )
    numbers = [int(line) for line in text.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_container_that_ends_meanwhile_is_restarted_once(node: Node) -> None:
    script = "trap 'exit 4' USR1; echo up; sleep 1000000 & wait"
    seen = node.run(pod("ends", container("main", script)))
    eventually(lambda: node.kubelet.logs(seen.name, "main"), lambda text: text == "up\n", "it is up")
    node.kubelet.stop()
    node.client.exec(seen["main"].id, "kill", "-USR1", "1")  # it may be taken along
    node.client.wait_exited(seen["main"].id)
    node.daemon.restart()
    node.kubelet.start()
    after = node.until(
        seen.name, lambda view: view.ready and view["main"].id != seen["main"].id, "it runs anew"
    )
    assert after["main"].restarts == 1
    assert after["main"].last.exit_code == 4
    assert node.attempts(after)[-1] == 1


def test_a_pod_withdrawn_while_the_kubelet_is_away_is_taken_down(node: Node) -> None:
    seen = node.run(pod("forgotten"))
    node.kubelet.stop()
    node.kubelet.withdraw(seen.name)
    node.kubelet.start()
    node.idle()
    assert seen.name not in node.kubelet.pods()
