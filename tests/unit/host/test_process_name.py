import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from host.process_name import set_name
set_name("a-name-of-many-bytes", sys.argv[1])
print(Path("/proc/self/comm").read_text(), Path("/proc/self/cmdline").read_bytes(), sep="")
"""


@pytest.mark.parametrize(("text", "shown"), [("logs: 8:1", "logs: 8:1"), ("x" * 10_000, None)])
def test_ps_shows_the_new_name(text: str, shown: str | None) -> None:
    command = [sys.executable, "-c", PROGRAM, text]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True, env=os.environ
    )
    comm, line = done.stdout.splitlines()
    assert comm == "a-name-of-many-"
    assert "import" not in line
    if shown is not None:
        assert line == repr(shown.encode() + b"\0")
