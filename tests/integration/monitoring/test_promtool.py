"""Prometheus' own checker takes the rules, what a daemon serves, and the dashboard's expressions."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import eventually, pod_config
from tests.harness.daemon import Daemon, Settings, Value
from tests.harness.patience import patient
from tests.harness.ports import free_port
from tests.harness.promtool import promtool
from tests.unit.monitoring.test_files import DASHBOARD, RULES, expressions

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """What a daemon says that has run a pod."""
    port = free_port()
    tables: dict[str, dict[str, Value]] = {"crio.metrics": {"enable_metrics": True, "metrics_port": port}}
    with Daemon(Settings(bridge="pw-test7", subnet="10.85.0.0/24", tables=tables)) as daemon:
        client = daemon.client
        client.remove_pod(client.run_pod(pod_config("counted")))
        yield eventually(
            lambda: _page(port), lambda text: 'step="network"' in text, "the step of the network is counted"
        )


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=patient(10)) as answer:
        return str(answer.read().decode())


def _checked(argv: list[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode in (0, 3), done.stderr  # 3: the checker's taste
    return done.stdout + done.stderr


def test_the_rules_are_accepted() -> None:
    assert f"{RULES.read_text().count('- alert:')} rules found" in _checked(
        [str(promtool()), "check", "rules", str(RULES)]
    )


def test_the_exposition_is_accepted(served: str) -> None:
    said = _checked([str(promtool()), "check", "metrics"], served)
    ours = [line for line in said.splitlines() if line.startswith("podwright_")]
    assert ours == []  # names of CRI-O are as they are


def test_expressions_of_the_dashboard_parse(tmp_path: Path) -> None:
    """As rules: the checker has no other verb for an expression alone."""
    found = [text.replace('"$instance"', '".*"') for text in expressions(DASHBOARD)]
    rules = [{"record": f"dashboard:{number}", "expr": text} for number, text in enumerate(found)]
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML too
    assert f"{len(rules)} rules found" in _checked([str(promtool()), "check", "rules", str(path)])
