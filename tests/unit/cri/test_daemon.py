"""cri/daemon: what the daemon costs that needs little."""

import subprocess
import sys
from pathlib import Path


def test_libraries_that_only_some_daemons_need_are_not_loaded() -> None:
    some = (
        "prometheus_client",
        "aiohttp",
        "jeepney",
        "difflib",
        "importlib.resources",
        "cri.inspect",
        "opentelemetry",
    )
    program = f"import sys, cri.daemon; print(*(set({some}) & set(sys.modules)))"
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "\n"
