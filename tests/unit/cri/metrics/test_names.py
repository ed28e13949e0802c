"""Labels stay few, whatever the node does."""

import pytest

from cri.metrics.names import MOST, OTHER, Labels, size_label, step_label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("network", "network"),
        ("remove container main", "remove container"),
        ("stop 3 containers", "stop containers"),
        ("wait for RemovePodSandbox", "wait for"),
        ("undo of an earlier attempt", "undo of"),
        ("files and namespaces", "files and namespaces"),
    ],
)
def test_a_step_has_one_label_whatever_it_works_on(name: str, label: str) -> None:
    assert step_label(name) == label


@pytest.mark.parametrize(("size", "label"), [(0, ">0 B"), (1025, ">1 KiB"), (11 << 30, ">10 GiB")])
def test_classes_of_sizes(size: int, label: str) -> None:
    assert size_label(size) == label


def test_more_than_anybody_foresaw_are_one() -> None:
    labels = Labels()
    assert [labels.bounded(str(number)) for number in range(MOST)] == [str(n) for n in range(MOST)]
    assert labels.bounded("new") == OTHER
    assert labels.bounded("0") == "0"
