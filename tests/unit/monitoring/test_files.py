"""The dashboard and the alert rules name only metrics and labels that are served."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.cache import PROJECT
from tests.unit.cri.metrics.test_collectors import everything

RULES = PROJECT / "monitoring/podwright.rules.yaml"
DASHBOARD = PROJECT / "monitoring/grafana-dashboard.json"
METRIC = re.compile(r"\b(?:podwright|container_runtime_crio|process)_[a-z0-9_]+")
OTHERS_LABELS = {"instance", "job"}  # Prometheus' own


def expressions(path: Path) -> list[str]:
    if path == DASHBOARD:
        return list(_of_dashboard(json.loads(path.read_text())))
    return re.split(r"^ +- alert: ", path.read_text(), flags=re.MULTILINE)[1:]


def _of_dashboard(found: dict[str, list[dict[str, list[dict[str, str]]]]]) -> Iterator[str]:
    for panel in found["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.fixture(scope="module")
def served() -> dict[str, set[str]]:
    """Every series by its name, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(everything().text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_every_metric_exists(path: Path, served: dict[str, set[str]]) -> None:
    named = {name for text in expressions(path) for name in METRIC.findall(text.split("annotations:")[0])}
    assert named
    assert named - served.keys() == set()


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_every_label_that_is_asked_for_exists(path: Path, served: dict[str, set[str]]) -> None:
    for text in expressions(path):
        expression = text.split("labels:")[0]
        labels = set[str]().union(*(served[name] for name in METRIC.findall(expression)))
        asked = {
            label.strip()
            for listed in re.findall(r"\bby \(([^)]*)\)", expression)
            for label in listed.split(",")
        } | set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!=|=~)\"", expression))
        assert asked - labels - OTHERS_LABELS == set(), text


def test_every_metric_of_ours_is_documented(served: dict[str, set[str]]) -> None:
    text = (PROJECT / "docs/monitoring.md").read_text()
    ours = {
        re.sub(r"_(bucket|count|sum|created)$", "", name) for name in served if name.startswith("podwright_")
    }
    assert {name for name in ours if name not in text} == set()
