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


ARENAS = """
import threading
from host.memory import share_arenas
{call}
kept, gate, ready = [], threading.Event(), threading.Barrier(13)
def work():
    kept.append(bytearray(100_000))
    ready.wait()
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
ready.wait()
heaps = sum(
    int(line.split("-")[0], 16) % (64 << 20) == 0 and " rw-p 00000000 00:00 0" in line
    for line in open("/proc/self/maps")
)
gate.set()
print(heaps)
"""


def arenas(call: str) -> int:
    """Heaps of threads lie at multiples of 64 MiB."""
    done = subprocess.run([sys.executable, "-c", ARENAS.format(call=call)], capture_output=True, check=True)
    return int(done.stdout)


def test_threads_share_arenas() -> None:
    assert arenas("share_arenas(2)") <= 1 < 4 <= arenas("pass")
