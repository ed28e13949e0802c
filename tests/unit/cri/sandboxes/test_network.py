"""What a sandbox asks of the network."""

from api.ids import SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.sandboxes.network import led_away
from cri.sandboxes.record import Sandbox


def _pod(*mappings: pb.PortMapping) -> Sandbox:
    return Sandbox(SandboxId("1" * 64), "web", pb.PodSandboxConfig(port_mappings=mappings), "crun", 5)


def test_ports_that_lead_to_pods_are_those_of_tcp_with_a_host_port() -> None:
    web = _pod(pb.PortMapping(protocol=pb.TCP, container_port=80, host_port=8080))
    others = _pod(
        pb.PortMapping(protocol=pb.UDP, container_port=53, host_port=53),
        pb.PortMapping(protocol=pb.TCP, container_port=443),
        pb.PortMapping(protocol=pb.TCP, container_port=443, host_port=8443, host_ip="192.0.2.1"),
    )
    assert led_away([web, others]) == {8080, 8443}
