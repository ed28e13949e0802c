"""timeline, top, events and the progress of a pull, as lines: from answers of a daemon."""

import pytest

from cri.cli import ops, pull_progress, timeline, top
from cri.cli.arguments import SORTS, parse
from storage.progress import Layer

ROWS = [
    top.Row("tests/web/main", "c1", "running", 0.5, 1000, 60.0, 0),
    top.Row("tests/api/main", "c2", "exited", 0.1, 5000, 10.0, 2),
]
OPERATION = {
    "id": "1",
    "verb": "RunPodSandbox",
    "subject": "k8s_web_tests_1_0",
    "about": {"namespace": "tests", "pod": "web"},
    "began_ns": 1_796_016_271_977_820_783,
    "ms": 2100.0,
    "state": "failed",
    "error": "no such bridge",
    "steps": [{"name": "network", "at_ms": 100.0, "ms": 2000.0, "state": "failed"}],
}
PROGRESS = {
    "done_bytes": 50,
    "total_bytes": 100,
    "done_layers": 1,
    "total_layers": 3,
    "rate": 10,
    "layers": [
        {"name": "sha256:aa", "state": "here", "done_bytes": 0, "size_bytes": 10, "rate": 0},
        {"name": "sha256:bb", "state": "fetching", "done_bytes": 50, "size_bytes": 100, "rate": 10},
    ],
}


def test_an_operation_is_a_paragraph() -> None:
    assert list(timeline.operation_lines(OPERATION)) == [
        "2026-11-30T05:24:31.977Z  RunPodSandbox tests/web 2.1 s failed: no such bridge",
        "    +100 ms    network 2000.0 ms (failed)",
    ]


def test_a_pull_has_a_bar_and_one_for_each_layer_that_is_to_come() -> None:
    lines = ops.progress_lines({"progress": PROGRESS})
    assert lines == [
        "[##########          ] 50 B of 100 B, 1 of 3 layers, 10 B/s",
        "[##########          ] bb fetching, 50 B of 100 B, 10 B/s",
    ]


@pytest.mark.parametrize(
    ("sort", "first"), [("cpu", "c1"), ("memory_bytes", "c2"), ("name", "c2"), ("age_s", "c1")]
)
def test_containers_are_sorted_by_a_column(sort: str, first: str) -> None:
    assert top.ordered(ROWS, sort)[0].id == first
    assert top.ordered(ROWS, sort, reverse=True)[1].id == first
    assert sort in SORTS
    assert sort in top.SORTS.values()


def test_the_table_of_containers_has_a_line_each() -> None:
    head, first, _ = top.table(ROWS)
    assert head.split() == ["CPU", "MEMORY", "AGE", "RESTARTS", "STATE", "ID", "NAME"]
    assert first.split() == ["0.500", "1.0", "kB", "60.0", "s", "0", "running", "c1", "tests/web/main"]


@pytest.mark.parametrize("form", ["table", "json"])
async def test_a_pull_tells_its_steps_on_standard_error(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = pull_progress.PullShown(form)
    with shown.step("manifest from registry.example\x1b[2J"):
        layer = Layer("sha256:aa", 100)
    shown.layers([layer])
    with layer.fetched():
        layer.begins()
        layer.came(100)
    shown.ended(None)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "manifest from registry.example" in err
    assert ("100 B of 100 B, 1 of 1 layers" if form == "table" else '"done_layers": 1') in err


@pytest.mark.parametrize(
    "words",
    [
        ["ops", "--watch"],
        ["timeline"],
        ["timeline", "web", "-o", "json"],
        ["events", "-f"],
        ["events", "tests/web", "-f", "-o", "json"],
        ["why", "web"],
        ["top", "--sort", "name"],
    ],
)
def test_the_grammar_knows(words: list[str]) -> None:
    assert parse(words).command == words[0]


def test_why_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["why"])
    assert "NAME" in capsys.readouterr().err
