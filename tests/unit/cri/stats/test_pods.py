from cri.stats.pods import total
from host.cgroup_stats import CpuUsage, MemoryUsage, Stats

ONE = Stats(cpu=CpuUsage(100, user_ns=1), memory=MemoryUsage(10, 8, 4, 2, 1, limit_bytes=50))
OTHER = Stats(cpu=CpuUsage(11), memory=MemoryUsage(5, 4, 3, 2, 1, limit_bytes=20))


def test_one_cgroup_is_reported_as_it_is() -> None:
    assert total([ONE]) is ONE


def test_several_are_added_up() -> None:
    assert total([ONE, OTHER]) == Stats(
        cpu=CpuUsage(111), memory=MemoryUsage(15, 12, 7, 4, 2, limit_bytes=70)
    )


def test_a_sum_with_an_unlimited_part_has_no_limit() -> None:
    unlimited = Stats(memory=MemoryUsage(1, 1, 1, 1, 1))
    summed = total([ONE, unlimited])
    assert summed.memory is not None
    assert summed.memory.available_bytes is None
    assert summed.cpu == CpuUsage(100)


def test_nothing_adds_up_to_nothing() -> None:
    assert total([]) == Stats()
