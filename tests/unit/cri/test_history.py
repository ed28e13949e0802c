"""The history of operations: bounded in bytes, newest first, and no room for probes in that of pods."""

import json
import tracemalloc

import pytest

from cri.history import History, Ring, document
from cri.operations import Operation, Step
from storage.progress import Layer, LayerState, Progress

LIMIT = 20 << 20


def _ended(number: int, verb: str = "CreateContainer") -> Operation:
    """As a busy node has them: names and ids of their own, four steps."""
    began_ns = 1_900_000_000_000_000_000 + number * 1_000_000
    operation = Operation(verb, f"{number:064x}", began_ns=began_ns, id=f"{number:x}", started=float(number))
    operation.about = {
        "namespace": "tests",
        "pod": f"web-{number}",
        "sandbox_id": f"{number * 7919:064x}",
        "container": "main",
        "image": "registry.example/app:1",
    }
    names = ("root file system", "spec", "log directory", "runtime create")
    operation.steps = [
        Step(name, number + place * 0.01, number + place * 0.01 + number % 97 / 9700)
        for place, name in enumerate(names)
    ]
    operation.ended = number + 0.1
    return operation


def test_a_hundred_thousand_operations_stay_within_their_bytes() -> None:
    history = History(LIMIT)
    for number in range(100_000):
        history.keep([_ended(number, "ExecSync" if number % 2 else "CreateContainer")])
    assert history.size_bytes() <= LIMIT
    found = [int(each["id"], 16) for each in history.newest_first()]
    assert found == list(range(99_999, -1, -1))  # none had to go


def test_its_bytes_are_those_that_python_allocates() -> None:
    history = History(LIMIT)
    history.keep([_ended(0)])  # what is imported and made once
    tracemalloc.start()
    try:
        before, counted = tracemalloc.get_traced_memory()[0], history.size_bytes()
        for number in range(1, 3000):
            history.keep([_ended(number)])
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held <= 1.1 * (history.size_bytes() - counted) + 4096


def test_the_oldest_go_when_there_is_no_more_room() -> None:
    history = History(64 << 10)
    for number in range(20_000):
        history.keep([_ended(number)])
    assert history.size_bytes() <= 64 << 10
    found = [int(each["id"], 16) for each in history.newest_first()]
    assert len(found) > 100
    assert found == list(range(19_999, 19_999 - len(found), -1))


def test_probes_do_not_push_out_what_a_pod_went_through() -> None:
    history = History(64 << 10)
    history.keep([_ended(0, "RunPodSandbox")])
    for number in range(1, 20_000):
        history.keep([_ended(number, "ExecSync")])
    assert [each["verb"] for each in history.newest_first()].count("RunPodSandbox") == 1


def test_a_word_finds_those_that_have_it() -> None:
    history = History(LIMIT)
    history.keep([_ended(number) for number in range(1000)])
    assert [each["id"] for each in history.newest_first("web-417")] == [f"{417:x}"]
    assert list(history.newest_first('no "such" word')) == []


@pytest.mark.parametrize("limit", [-1, 0, 1, 100])
def test_a_ring_without_room_holds_nothing(limit: int) -> None:
    ring = Ring(limit)
    for _ in range(10):
        ring.append(b"x" * 200)
    assert ring.size_bytes() == 0


def test_text_of_strangers_is_printable_and_bounded() -> None:
    operation = _ended(1)
    operation.about["pod"] = "web\x1b[2J" + "x" * 5000
    operation.error = "line\nforged"
    operation.steps.append(Step("remove container \u202eevil", 1.0, 1.1))
    told = json.dumps(document(operation))
    assert len(told) < 3000
    for bad in ("\\u001b", "\\n", "\\u202e", "\x1b", "\u202e"):
        assert bad not in told.replace("\\\\", "")


def test_a_document_of_a_thousand_steps_has_a_bounded_number_of_them() -> None:
    operation = _ended(1)
    operation.steps = [Step(f"remove container {number}", 1.0, 1.1) for number in range(1000)]
    assert len(document(operation)["steps"]) == 64


def test_progress_is_told_by_layer_and_in_sum() -> None:
    layers = [Layer("sha256:aa", 100), Layer("sha256:bb", 50), Layer("sha256:cc", 10)]
    operation = Operation("PullImage", "registry.example/app:1", progress=Progress(layers))
    layers[0].state, layers[1].state = LayerState.HERE, LayerState.FETCHING
    layers[1].came(20)
    told = document(operation)["progress"]
    assert {name: told[name] for name in ("done_bytes", "total_bytes", "done_layers", "total_layers")} == {
        "done_bytes": 20,
        "total_bytes": 60,
        "done_layers": 1,
        "total_layers": 3,
    }
    assert [layer["state"] for layer in told["layers"]] == ["here", "fetching", "waiting"]
