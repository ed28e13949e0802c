"""RuntimeDefault as the kernel runs it: the shipped profile compiled, and system calls put before it."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from conf.seccomp import default_profile
from oci.generate.seccomp import convert
from oci.precompiled import ANNOTATION, Filters
from tests.harness.bpf import ALLOW, ERRNO, verdict

# By architecture.
NUMBERS = {
    "x86_64": {"socket": 41, "socketpair": 53, "unshare": 272, "keyctl": 250, "ptrace": 101, "kcmp": 312},
    "x86": {"socket": 359, "socketpair": 360, "unshare": 310, "keyctl": 288, "ptrace": 26, "socketcall": 102},
}
# Numbers that all architectures share.
SHARED = {"clone3": 435, "io_uring_setup": 425, "process_madvise": 440, "pidfd_getfd": 438}
AF_ALG, AF_NFC, AF_VSOCK, AF_MCTP = 38, 39, 40, 45
EPERM, ENOSYS = 1, 38

Ask = Callable[..., int]


@pytest.fixture(scope="module")
def ask() -> Ask:
    """The verdict on a system call of a container with the usual capabilities; 0 is allowed, else the
    errno."""
    profile = convert(default_profile(), {"CAP_CHOWN", "CAP_SETUID"}, "x86_64", "default")
    document: dict[str, Any] = {"linux": {"seccomp": profile}}
    Filters().annotate(document)
    program = base64.b64decode(document["annotations"][ANNOTATION])

    def asked(architecture: str, name: str, *arguments: int) -> int:
        number = SHARED.get(name) or NUMBERS[architecture][name]
        found = verdict(program, architecture, number, arguments)
        assert found & 0xFFFF0000 in (ALLOW, ERRNO)
        return 0 if found == ALLOW else found & 0xFFFF

    return asked


@pytest.mark.parametrize("architecture", ["x86_64", "x86"])
@pytest.mark.parametrize("family", range(64))
def test_families_of_sockets_that_are_known_and_harmless(ask: Ask, architecture: str, family: int) -> None:
    allowed = family <= AF_MCTP and family not in (AF_ALG, AF_VSOCK)
    assert ask(architecture, "socket", family, 1, 0) == (0 if allowed else EPERM)


@pytest.mark.parametrize("family", [AF_ALG, AF_VSOCK, 2, -1])
def test_a_family_with_bits_that_the_kernel_drops_is_refused(ask: Ask, family: int) -> None:
    assert ask("x86_64", "socket", (1 << 32) | (family & 0xFFFFFFFF), 1, 0) == EPERM
    assert ask("x86_64", "socket", (1 << 63) | (family & 0xFFFFFFFF), 1, 0) == EPERM


@pytest.mark.parametrize("call", [1, 2, 3, 8, 20, 0x100000001])
def test_no_way_leads_through_socketcall(ask: Ask, call: int) -> None:
    assert ask("x86", "socketcall", call, 0xBFFF0000) == EPERM


def test_calls_that_pass_by_filters_or_widen_rights(ask: Ask) -> None:
    assert ask("x86_64", "io_uring_setup", 8, 0) == EPERM
    assert ask("x86_64", "clone3", 0, 88) == ENOSYS  # libraries fall back to clone
    assert ask("x86_64", "unshare", 0x10000000) == EPERM
    assert ask("x86_64", "keyctl", 0) == EPERM
    for name in ("process_madvise", "pidfd_getfd", "kcmp"):
        assert ask("x86_64", name, 3) == EPERM
    assert ask("x86_64", "ptrace", 0) == 0  # as far as the kernel lets one process trace another
