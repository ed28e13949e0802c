"""The process that unpacks layers is made to try what a hostile layer's author would have it do."""

import base64
import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from storage.digest import Digest
from storage.unpack.confine import KEPT
from storage.unpack.faults import Limits
from storage.unpack_filters import filters
from storage.unpacker import LayerSource, Unpacker, module_path
from tests.harness import processes
from tests.harness.until import until
from tests.integration.storage.support import Member, tar_bytes

pytestmark = pytest.mark.root

_TRY = """
import base64, ctypes, errno, json, mmap, os, resource, signal, socket, stat, sys, threading
sys.path[:0] = json.loads(sys.argv[1])
from pathlib import Path
from host.openat2 import openat2
from storage.unpack.confine import Filters, bound, confine_self
from storage.unpack.faults import Limits
from storage.unpack.tree import Tree
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
parent = os.getppid()
bound()
tree = Tree(Path(sys.argv[3]), Limits())
root = tree.root
confined = confine_self(tree, Filters(**{n: base64.b64decode(t) for n, t in json.loads(sys.argv[4]).items()}))
tree.privileged(root, "trusted.overlay.opaque", b"y")
try:
    exec(sys.argv[2])
except OSError as error:
    answer = error.errno
else:
    answer = 0
confined.marker.close()
print(json.dumps([answer, confined.unconfined]))
"""
_ENCODED = json.dumps({name: base64.b64encode(data).decode() for name, data in asdict(filters()).items()})
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EXDEV)


def tried(code: str, directory: Path) -> int:
    """The errno of ``code`` in a confined process that fills ``directory``; 0 when it went well."""
    command = [sys.executable, "-I", "-S", "-c", _TRY, json.dumps(module_path()), code]
    done = subprocess.run(
        [*command, str(directory), _ENCODED], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer, unconfined = json.loads(done.stdout)
    assert unconfined == []
    return int(answer)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "store/diff"
    path.mkdir(parents=True)
    (tmp_path / "store/neighbour").write_text("secret")
    (path / "link").symlink_to("/etc/shadow")
    (path / "up").symlink_to("../neighbour")
    return path


@pytest.mark.parametrize(
    "code",
    [
        "os.mkdir('a', 0o755, dir_fd=root); os.rmdir('a', dir_fd=root)",
        "d = os.open('f', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=root); os.write(d, b'x'); "
        "os.fchown(d, 70000, 7); os.fchmod(d, 0o6755); os.utime(d, ns=(1, 1)); "
        "os.setxattr(d, 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))",
        "os.mknod('w', stat.S_IFCHR, 0, dir_fd=root); os.mkfifo('p', dir_fd=root)",
        "os.symlink('/etc/shadow', 's', dir_fd=root); os.unlink('s', dir_fd=root)",
        "os.mkdir('d', 0o700, dir_fd=root); os.chown('d', 5, 5, dir_fd=root); "
        "os.close(os.open('d/f', os.O_CREAT | os.O_WRONLY, dir_fd=root)); "
        "os.link('d/f', 'g', src_dir_fd=root, dst_dir_fd=root)",
        "t = threading.Thread(target=bytearray, args=(1 << 20,)); t.start(); t.join()",
        "tree.privileged(root, 'security.ima', b'x')",
    ],
)
def test_what_unpacking_is_made_of_goes_on(code: str, directory: Path) -> None:
    assert tried(code, directory) == 0


@pytest.mark.parametrize(
    "code",
    [
        # network
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socketpair()",
        # files of others, by every way there
        "os.open('/etc/shadow', os.O_RDONLY)",
        "os.open('../../../../../etc/shadow', os.O_RDONLY, dir_fd=root)",
        "os.open('link', os.O_RDONLY, dir_fd=root)",
        "os.open('up', os.O_RDONLY, dir_fd=root)",
        "os.open('../neighbour', os.O_WRONLY, dir_fd=root)",
        "openat2(root, '../neighbour', os.O_WRONLY)",
        "os.mkdir('/new/directory')",
        "os.rename('../neighbour', 'stolen', src_dir_fd=root, dst_dir_fd=root)",
        "os.link('../neighbour', 'stolen', src_dir_fd=root, dst_dir_fd=root)",
        "os.open('/proc/self/mem', os.O_RDWR)",
        "os.chroot('.')",
        "os.open('f', os.O_CREAT | os.O_WRONLY, dir_fd=root); os.open('f', os.O_RDONLY, dir_fd=root)",
        # devices
        "os.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(254, 0), dir_fd=root)",
        "os.mknod('mem', stat.S_IFCHR | 0o600, os.makedev(1, 1), dir_fd=root)",
        # programs and processes
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.kill(parent, 0)",
        "os.kill(parent, signal.SIGKILL)",
        "os.pidfd_open(parent)",
        "resource.prlimit(parent, resource.RLIMIT_NOFILE, (1, 1))",
        "call('prlimit', 0, resource.RLIMIT_AS, bytes(16), 0)",
        "call('ptrace', 16, parent, 0, 0)",
        "call('process_vm_readv', parent, 0, 0, 0, 0, 0)",
        "os.memfd_create('x')",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        # privileges and the kernel
        "os.setuid(0)",
        "call('unshare', 0x20000)",
        "call('unshare', 0x10000000)",
        "call('mount', b'x', b'/', b'tmpfs', 0, 0)",
        "call('setns', root, 0)",
        "call('prctl', 4, 1, 0, 0, 0)",
        "call('syscall', 321, 0, 0, 0)",
        "call('syscall', 425, 1, 0)",
        "call('syscall', 248, b'user', b'x', b'x', 1, 0)",
        "call('syscall', 434, parent, 0)",
        # by the process that may set attributes
        "tree.privileged(root, 'trusted.overlay.redirect', b'/etc')",
        "tree.privileged(root, 'trusted.overlay.opaque', b'x')",
        "tree.privileged(root, 'security.capability', b'x')",
        "os.setxattr(root, 'trusted.overlay.opaque', b'y')",
        "os.setxattr(root, 'security.ima', b'y')",
    ],
)
def test_what_a_layer_might_make_it_do_is_refused(code: str, directory: Path) -> None:
    assert tried(code, directory) in REFUSED
    assert (directory.parent / "neighbour").read_text() == "secret"
    assert sorted(path.name for path in directory.parent.iterdir()) == ["diff", "neighbour"]


def test_above_the_directory_is_the_directory(directory: Path) -> None:
    assert tried("os.mkdir('../../new', dir_fd=root)", directory) == 0
    assert (directory / "new").is_dir()


def test_memory_has_a_bound(directory: Path) -> None:
    code = "\ntry:\n    bytearray(3 << 30)\nexcept MemoryError:\n    raise OSError(errno.EPERM, '')"
    assert tried(code, directory) == errno.EPERM


def test_descriptors_have_a_bound(directory: Path) -> None:
    assert tried("[os.dup(root) for _ in range(600)]", directory) == errno.EMFILE


async def test_a_real_unpack_is_confined_before_the_first_entry_and_leaves_no_process(tmp_path: Path) -> None:
    data = tar_bytes([Member("a", b"x" * 100), Member("d/.wh..wh..opq"), Member("b", bytes(1 << 20))])
    pids: list[int] = []
    found: dict[str, str] = {}

    async def house(pid: int) -> None:
        pids.append(pid)

    async def chunks() -> AsyncIterator[bytes]:
        yield data[: 1 << 19]
        await until(lambda: pids and (tmp_path / "a").exists())
        found.update(processes.status(pids[0]))
        found["net"], found["root"] = (processes.link(pids[0], name) for name in ("ns/net", "root"))
        pids.extend(processes.children(pids[0]))
        yield data[1 << 19 :]

    digest = Digest.of(data)
    unpacker = Unpacker(Limits(), house=house)
    await unpacker.unpack(LayerSource(digest, digest, len(data), chunks), tmp_path)
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == sum(1 << number for number in KEPT)
    assert int(found["CapBnd"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert found["net"] != processes.link("self", "ns/net")
    assert found["root"] == str(tmp_path)
    assert os.getxattr(tmp_path / "d", "trusted.overlay.opaque") == b"y"
    assert len(pids) == 2
    assert all(map(processes.has_ended, pids))
