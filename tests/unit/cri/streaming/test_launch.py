import json
import os
import subprocess
import sys

from cri.streaming.launch import module_path

_LOAD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import cri.streaming.process.main
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_process_finds_all_that_it_imports_and_nothing_of_grpc() -> None:
    command = [sys.executable, "-I", "-S", "-c", _LOAD, json.dumps(module_path())]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True, env={"LC_ALL": "C.UTF-8"})
    loaded = set(json.loads(done.stdout))
    assert {"h11", "websockets", "cri", "host"} <= loaded
    assert not loaded & {"grpc", "google", "aiohttp", "oci", "cni", "storage", "yaml", "jeepney"}


def test_a_stranger_who_starts_it_is_told_that_it_is_not_for_him() -> None:
    program = (
        "from cri.streaming.process.main import main; import sys; sys.argv = ['podwright-streaming']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env={**os.environ}
    )
    assert done.returncode == 1
    assert "usage: podwright-streaming RUNROOT" in done.stderr
