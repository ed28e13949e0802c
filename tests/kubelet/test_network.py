"""Pods' networks: their own, the node's, host ports, names."""

import http.client

import pytest

from tests.harness.client import eventually
from tests.kubelet.machine import LINK, NODE_ADDRESS
from tests.kubelet.manifests import WAIT, Json, container, pod
from tests.kubelet.node import Node

pytestmark = pytest.mark.root

PORT = 18080
OTHER_PORT = 18081


def web(page: str, **fields: object) -> Json:
    """A container that serves a page on port 8080."""
    script = f"mkdir /tmp/www; echo {page} >/tmp/www/index.html; httpd -p 8080 -h /tmp/www; {WAIT}"
    return container("main", script, **fields)


def fetch(address: str, port: int) -> str:
    """The page there, or what is wrong."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/index.html")
        return connection.getresponse().read().decode()
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def until_served(address: str, port: int, page: str) -> None:
    eventually(
        lambda: fetch(address, port), lambda body: body == f"{page}\n", f"{page} comes by port {port}", 20
    )


def test_a_pod_on_the_host_network(node: Node) -> None:
    seen = node.run(pod("hostnet", hostNetwork=True))
    assert NODE_ADDRESS in node.exec(seen, f"ip -4 addr show {LINK}")
    assert node.exec(seen, "hostname") != f"{seen.name}\n"


def test_pods_reach_each_other_by_their_addresses(node: Node) -> None:
    server = node.run(pod("server", web("across")))
    client = node.run(pod("client"))
    assert server.ip != client.ip
    assert (
        node.exec(client, f"for n in 1 2 3; do wget -q -O - http://{server.ip}:8080/ && exit; sleep 1; done")
        == "across\n"
    )


def test_a_host_port_leads_to_the_container_and_is_free_again_after_it(node: Node) -> None:
    ports = [{"containerPort": 8080, "hostPort": PORT}]
    first = node.run(pod("hostport", web("first", ports=ports)))
    until_served(NODE_ADDRESS, PORT, "first")
    node.kubelet.withdraw(first.name)
    eventually(lambda: fetch(NODE_ADDRESS, PORT), lambda said: "refused" in said, "nobody listens there", 30)
    node.run(pod("hostport", web("second", ports=ports)))
    until_served(NODE_ADDRESS, PORT, "second")


def test_a_host_port_may_be_of_one_address_alone(node: Node) -> None:
    ports = [
        {"containerPort": 8080, "hostPort": PORT, "hostIP": NODE_ADDRESS},
        {"containerPort": 8080, "hostPort": OTHER_PORT, "hostIP": "127.0.0.1"},
    ]
    node.run(pod("one-address", web("here", ports=ports)))
    until_served(NODE_ADDRESS, PORT, "here")
    until_served("127.0.0.1", OTHER_PORT, "here")
    assert "refused" in fetch(NODE_ADDRESS, OTHER_PORT)


def test_a_pod_may_bring_names_and_name_servers_of_its_own(node: Node) -> None:
    seen = node.run(
        pod(
            "named",
            hostname="own-name",
            hostAliases=[{"ip": "192.0.2.77", "hostnames": ["far.example", "away.example"]}],
            dnsPolicy="None",
            dnsConfig={
                "nameservers": ["192.0.2.99"],
                "searches": ["other.example"],
                "options": [{"name": "ndots", "value": "4"}],
            },
        )
    )
    assert node.exec(seen, "hostname") == "own-name\n"
    assert f"{seen.ip}\town-name" in node.exec(seen, "cat /etc/hosts")
    assert "192.0.2.77\tfar.example\taway.example" in node.exec(seen, "cat /etc/hosts")
    told = node.exec(seen, "cat /etc/resolv.conf").split("\n")
    assert {"nameserver 192.0.2.99", "search other.example", "options ndots:4"} <= set(told)
    assert "192.0.2.53" not in " ".join(told)
