"""`kubectl logs`, as the kubelet reads what the monitor writes; rotation by the kubelet."""

import gzip
from pathlib import Path

import pytest

from tests.harness.client import eventually
from tests.kubelet.manifests import container, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

LINES = 1600  # of about a hundred bytes: two and a half times what makes the kubelet rotate
PIECES = 32
TALKS = (
    f"n=0; while [ $n -lt {LINES} ]; do n=$((n + 1));"
    ' echo "$n 0123456789012345678901234567890123456789012345678901234567890123456789";'
    f" [ $((n % {LINES // PIECES})) = 0 ] && sleep 0.4; done"
)


def test_both_outputs_are_in_the_log(node: Node) -> None:
    script = "echo one; sleep 0.5; echo two >&2; sleep 0.5; printf three"
    name = node.kubelet.apply(pod("talks", container("main", script), restartPolicy="Never"))
    node.until(name, lambda view: view.phase == "Succeeded", "it is done")
    assert node.kubelet.logs(name, "main").rstrip() == "one\ntwo\nthree"


def test_the_last_lines_with_their_times(node: Node) -> None:
    seen = node.run(pod("tail", container("main", "seq 1 100; sleep 1000000")))
    eventually(
        lambda: node.kubelet.logs(seen.name, "main", tailLines=2, timestamps="true"),
        lambda text: [line.split()[1] for line in text.splitlines()] == ["99", "100"],
        "the last two lines are shown",
        10,
    )


def test_a_log_is_followed_to_the_end_of_its_container(node: Node) -> None:
    script = "for n in 1 2 3 4 5; do echo $n; sleep 0.5; done; echo end"
    name = node.kubelet.apply(pod("followed", container("main", script), restartPolicy="Never"))
    node.until(name, lambda view: view["main"].started, "it runs")
    assert node.kubelet.logs(name, "main", follow="true").splitlines() == ["1", "2", "3", "4", "5", "end"]


def test_a_long_line_stays_one_line(node: Node) -> None:
    # Many pieces, and yet short enough that the kubelet does not rotate the log.
    script = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo next; sleep 1000000"
    seen = node.run(pod("long", container("main", script)))
    text = eventually(
        lambda: node.kubelet.logs(seen.name, "main"),
        lambda text: text.endswith("next\n"),
        "it is written",
        10,
    )
    assert text == "x" * 40000 + "\nnext\n"


def test_rotation_loses_no_line(node: Node) -> None:
    seen = node.run(pod("rotated", container("main", f"{TALKS}; sleep 1000000")))
    directory = node.kubelet.state / f"pod-logs/default_{seen.name}_{seen.uid}/main"
    eventually(
        lambda: node.kubelet.logs(seen.name, "main", tailLines=1),
        lambda text: text.startswith(f"{LINES} "),
        "the last line is written",
    )
    eventually(lambda: len(list(directory.iterdir())), lambda number: number >= 2, "the log is rotated", 20)
    text = eventually(lambda: _whole(directory), lambda text: bool(text), "no rotation is under way", 10)
    assert [int(line.split()[3]) for line in text.splitlines()] == list(range(1, LINES + 1))


def test_a_log_can_be_followed_over_a_rotation(node: Node) -> None:
    name = node.kubelet.apply(pod("chased", container("main", f"{TALKS}; true"), restartPolicy="Never"))
    node.until(name, lambda view: view["main"].started, "it runs")
    text = node.kubelet.logs(name, "main", follow="true")
    assert [int(line.split()[0]) for line in text.splitlines()] == list(range(1, LINES + 1))


def _whole(directory: Path) -> str:
    """All files of a log in their order, the packed ones unpacked; empty if one is being packed."""
    rotated = sorted(path for path in directory.iterdir() if path.name != "0.log")
    if any(path.suffix == ".tmp" for path in rotated):
        return ""
    try:
        texts = [
            gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
            for path in [*rotated, directory / "0.log"]
        ]
    except FileNotFoundError:
        return ""
    return "".join(texts)
