import subprocess
import sys

PROGRAM = """
import resource
from host.memory import keep_freed_memory
{call}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(300):
    b"".join([b"x" * 200_000, b"y" * 200_000])
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, check=True)
    return int(done.stdout)


def test_freed_memory_is_used_again_without_page_faults() -> None:
    assert faults("keep_freed_memory(1 << 20)") < faults("pass") / 10
