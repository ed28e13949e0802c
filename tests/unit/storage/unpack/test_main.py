"""storage/unpack/__main__: what the process sets for itself before it reads a layer."""

import json
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

from storage.unpacker import _PROGRAM, module_path
from tests.harness import processes


def test_the_process_bounds_its_memory_and_is_the_first_to_go_when_it_is_short(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    request = json.dumps({"directory": str(tmp_path / "tree"), "limits": {}, "filters": {}})
    member = tarfile.TarInfo("file")
    member.size = 1 << 20  # more than a pipe holds: once it is written the process has begun to read
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(module_path()), request],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(member.tobuf() + bytes(member.size))
        process.stdin.flush()
        soft, _ = resource.prlimit(process.pid, resource.RLIMIT_AS)
        score = processes.read(process.pid, "oom_score_adj")
        process.stdin.close()
        answer = json.loads(process.stdout.read())
    assert (soft, int(score)) == (2 << 30, 500)
    assert answer["archive_bytes"] == 512 + member.size
