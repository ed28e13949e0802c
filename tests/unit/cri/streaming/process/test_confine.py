"""The filter is tried where it is meant to be: in a process that has loaded it."""

import json
import subprocess
import sys
import threading

import pytest

from cri.streaming.launch import module_path
from cri.streaming.process.confine import ManyThreads, confine_self

_TRY = """
import ctypes, json, mmap, os, socket, sys
sys.path[:0] = json.loads(sys.argv[1])
from cri.streaming.process.confine import call_filter
from host import confine
libc = ctypes.CDLL(None, use_errno=True)
program = call_filter()
reading, writing = os.pipe()
pair = socket.socketpair()
confine.no_new_privileges()
confine.hide_from_peers()
landlocked = confine.no_files()
confine.load_filter(program)
try:
    exec(sys.argv[2])
except OSError as error:
    print(error.errno)
else:
    print(0)
"""


def tried(code: str) -> int:
    """The errno of ``code`` in a confined process; 0 when it went well."""
    command = [sys.executable, "-I", "-S", "-c", _TRY, json.dumps(module_path()), code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "os.write(writing, b'x'); assert os.read(reading, 1) == b'x'",
        "pair[0].sendmsg([b'x']); pair[1].recv(1)",
        "pair[0].dup().close()",
        "bytearray(64 << 20)",
        "os.open(f'/proc/self/fd/{reading}', os.O_RDONLY | os.O_NONBLOCK)",
        "import time; time.sleep(0); os.getpid()",
    ],
)
def test_what_streaming_is_made_of_goes_on(code: str) -> None:
    assert tried(code) == 0


@pytest.mark.parametrize(
    "code",
    [
        "os.open('/etc/passwd', os.O_RDONLY)",
        "os.open('/tmp', os.O_RDONLY | os.O_DIRECTORY)",
        "os.open('/tmp/x', os.O_WRONLY | os.O_CREAT)",
        "os.mkdir('/tmp/podwright-streaming')",
        "os.unlink('/tmp/podwright-streaming')",
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "socket.socket()",
        "socket.socketpair()",
        "os.kill(os.getppid(), 0)",
        "os.memfd_create('x')",
        "os.pidfd_open(1)",
        "os.setuid(0)",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "if libc.setrlimit(4, bytes(16)) < 0: raise OSError(ctypes.get_errno(), '')",
        "if libc.ptrace(0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), '')",
        "if libc.unshare(0x20000) < 0: raise OSError(ctypes.get_errno(), '')",
        "if libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0) < 0: raise OSError(ctypes.get_errno(), '')",
    ],
)
def test_anything_else_is_refused(code: str) -> None:
    assert tried(code) in (1, 13)  # EPERM by the filter, EACCES by Landlock


def test_a_second_thread_is_not_left_with_what_the_first_gives_up() -> None:
    waits = threading.Event()
    other = threading.Thread(target=waits.wait)
    other.start()
    try:
        with pytest.raises(ManyThreads):
            confine_self()
    finally:
        waits.set()
        other.join()
