from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.update import together


def test_the_pod_may_use_the_containers_sums_and_the_overhead() -> None:
    resources = pb.LinuxContainerResources(cpu_quota=50000, cpu_period=100000, memory_limit_in_bytes=64)
    overhead = pb.LinuxContainerResources(cpu_quota=10000, cpu_shares=5, memory_limit_in_bytes=6)
    summed = together(resources, overhead)
    assert (summed.cpu_quota, summed.cpu_period, summed.memory_limit_in_bytes) == (60000, 100000, 70)
    assert summed.cpu_shares == 0  # the containers have none: the pod is not cut to the overhead
    assert resources.cpu_quota == 50000


def test_lifted_limits_stay_lifted() -> None:
    unlimited = pb.LinuxContainerResources(cpu_quota=-1)
    assert together(unlimited, pb.LinuxContainerResources(cpu_quota=10000)).cpu_quota == -1
