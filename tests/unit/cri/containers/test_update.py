import pytest

from api.runtime.v1 import api_pb2 as pb
from cri.containers.update import BadLimits, fingerprint, limits_of, merge, reverse, with_swap
from host.cgroup_limits import UNLIMITED, Limits

MIB = 1 << 20


def _asked(memory: int = 0, swap: int = 0) -> pb.LinuxContainerResources:
    return pb.LinuxContainerResources(memory_limit_in_bytes=memory, memory_swap_limit_in_bytes=swap)


def test_what_is_not_set_is_left_alone() -> None:
    assert limits_of(pb.LinuxContainerResources()) == Limits()
    assert limits_of(pb.LinuxContainerResources(cpu_quota=-1)).cpu_quota_us == UNLIMITED


@pytest.mark.parametrize(
    ("kept", "asked", "swap"),
    [
        ((64, 0), (32, 0), 32),  # created without a word on swap: none, and none afterwards
        ((64, 64), (128, 0), 128),  # "no swap" in words
        ((64, 128), (96, 0), None),  # swap that was asked for stays
        ((64, 128), (256, 0), 256),  # unless it no longer fits
        ((64, -1), (256, 0), None),
        ((64, 0), (32, 48), 48),
        ((64, 0), (0, 96), 96),
        ((64, 0), (-1, 0), -1),
        ((64, 0), (0, 0), None),
    ],
)
def test_swap_follows_the_memory_limit(
    kept: tuple[int, int], asked: tuple[int, int], swap: int | None
) -> None:
    assert with_swap(_asked(*asked), _asked(*kept), counted=True).memory_swap_bytes == swap


def test_swap_that_is_not_counted_is_not_written() -> None:
    assert with_swap(_asked(32, 32), _asked(64, 64), counted=False) == Limits(memory_bytes=32)


def test_memory_with_swap_is_not_less_than_memory() -> None:
    with pytest.raises(BadLimits, match=r"memory_swap_limit_in_bytes 31 .* 32"):
        with_swap(_asked(32, 31), _asked(), counted=True)


def test_the_reverse_of_what_was_set_and_of_nothing_else() -> None:
    before = Limits(cpu_shares=2, cpu_period_us=100000, cpuset_cpus="0-1", memory_swap_bytes=64 * MIB)
    asked = Limits(cpu_shares=512, cpu_quota_us=5000, memory_bytes=MIB, memory_swap_bytes=MIB)
    assert reverse(asked, before) == Limits(
        cpu_shares=2, cpu_quota_us=UNLIMITED, memory_bytes=UNLIMITED, memory_swap_bytes=64 * MIB
    )


def test_the_reverse_of_limits_with_names() -> None:
    before = Limits(hugepage_bytes={"2MB": 4}, unified={"memory.high": "max"})
    asked = Limits(hugepage_bytes={"2MB": 2}, unified={"memory.high": "7"})
    assert reverse(asked, before) == before


def test_kept_values_are_those_that_were_set_last() -> None:
    kept = pb.LinuxContainerResources(cpu_shares=2, memory_limit_in_bytes=64, oom_score_adj=5)
    kept.hugepage_limits.add(page_size="2MB", limit=1)
    asked = pb.LinuxContainerResources(cpu_shares=512, cpuset_cpus="1", oom_score_adj=7)
    asked.hugepage_limits.add(page_size="1GB", limit=2)
    asked.unified["a.b"] = "c"
    merge(kept, asked)
    assert (kept.cpu_shares, kept.memory_limit_in_bytes, kept.cpuset_cpus) == (512, 64, "1")
    assert [one.page_size for one in kept.hugepage_limits] == ["1GB"]
    assert dict(kept.unified) == {"a.b": "c"}
    assert kept.oom_score_adj == 5  # of a process that runs, not of the cgroup


def test_requests_that_say_the_same_have_one_fingerprint() -> None:
    assert fingerprint(_asked(1)) == fingerprint(_asked(1)) != fingerprint(_asked(2))
