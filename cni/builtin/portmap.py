"""The portmap plugin: host ports by the ``portMappings`` capability."""

from ipaddress import ip_address

from cni.builtin.base import Request
from cni.errors import PluginFailed
from cni.fields import Json, boolean
from cni.hostports import HostPorts, owner_of, port_mappings_of
from cni.nat import Nat, PortMapping
from cni.result import Result

_ONLY_BINARY = ("conditionsV4", "conditionsV6", "externalSetMarkChain", "masqAll")


class PortMap:
    """The built-in ``portmap``."""

    def __init__(self, nat: Nat) -> None:
        self._ports = HostPorts(nat)

    def refuses(self, conf: Json) -> str:
        """Conditions in iptables' words need the plugin binary."""
        for key in _ONLY_BINARY:
            if conf.get(key):
                return key
        return "backend" if conf.get("backend") == "iptables" else ""

    def add(self, request: Request) -> Result:
        """Open the host ports; the previous result passes through."""
        if request.previous is None:
            raise PluginFailed(f"{request.where}: it must come behind a plugin that makes an interface")
        owner = owner_of(request.call.container_id, request.call.ifname)
        snat = boolean(request.conf, "snat", request.where, default=True)
        self._ports.open(owner, mappings_of(request), request.previous, snat=snat)
        return request.previous

    def check(self, request: Request) -> None:
        """The host ports are open."""
        owner = owner_of(request.call.container_id, request.call.ifname)
        wanted = [mapping for mapping in mappings_of(request) if mapping.host_port]
        if wanted and not self._ports.is_open(owner):
            raise PluginFailed(f"{request.where}: the host ports are not mapped")

    def delete(self, request: Request) -> None:
        """Close the host ports."""
        mappings = mappings_of(request)
        if request.previous is not None and not mappings:
            return  # what ADD was given is known, and it was nothing
        addresses = [] if request.previous is None else map(ip_address, request.previous.pod_ips())
        self._ports.close(owner_of(request.call.container_id, request.call.ifname), mappings, addresses)

    def collect(self, conf: Json, valid: frozenset[tuple[str, str]]) -> None:
        """Close the host ports of attachments that are not valid."""
        self._ports.keep_only(frozenset(owner_of(*pair) for pair in valid))


def mappings_of(request: Request) -> list[PortMapping]:
    """The port mappings of a call."""
    return port_mappings_of(request.runtime(), request.where)
