"""cri/daemon: what the daemon costs that needs little."""

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import cri
from cri import daemon
from cri.node import Node
from cri.supervise import Supervisor


def test_libraries_that_only_some_daemons_need_are_not_loaded() -> None:
    some = (
        "prometheus_client",
        "aiohttp",
        "jeepney",
        "difflib",
        "importlib.resources",
        "cri.inspect",
        "opentelemetry",
        "cri.stats.verbs",
        "cri.stats.scrape",
        "cri.metrics.collectors",
    )
    program = f"import sys, cri.daemon; print(*(set({some}) & set(sys.modules)))"
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "\n"


async def test_without_the_optional_packages_tracing_is_a_trouble_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cri, "tracing", None, raising=False)  # what is imported here is not to stay there
    for name in [name for name in sys.modules if name.startswith("cri.tracing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    background = Supervisor()
    parts: dict[str, Any] = dict.fromkeys(Node.__dataclass_fields__) | {"background": background}
    async with AsyncExitStack() as stack:
        assert await daemon._traces(Node(**parts), stack) is None
    [trouble] = background.troubles()
    assert trouble.key == "tracing"
    assert "podwright[tracing]" in trouble.error
