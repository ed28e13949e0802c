"""Results of ADD in one shape, read from and written to every supported version (CNI SPEC.md section 5).

Inside, a result is that of 1.1.0. Older versions lack fields (dropped when written) or have one more
(``version`` of an address, before 1.0.0).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cni import versions
from cni.errors import NetworkConfigInvalid
from cni.fields import (
    IpAddress,
    IpInterface,
    IpNetwork,
    Json,
    address,
    integer,
    interface,
    network,
    objects,
    string,
    strings,
)

_ROUTE_NUMBERS = ("mtu", "advmss", "priority")


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that ADD made or used; ``sandbox`` is "" on the host, else the namespace's path."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """An address, the position of its interface in the result (None if it has none), and its gateway."""

    address: IpInterface
    gateway: IpAddress | None = None
    interface: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route inside the pod; without a gateway that of the address of the same family is meant."""

    destination: IpNetwork
    gateway: IpAddress | None = None
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int | None = None
    scope: int | None = None


@dataclass(frozen=True, slots=True)
class Dns:
    """Name service settings, as plugins hand them on."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a chain has done so far."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = Dns()

    def pod_ips(self) -> tuple[str, ...]:
        """The pod's addresses without prefix: those on interfaces in a sandbox, or on none in particular."""
        found = []
        for entry in self.ips:
            if entry.interface is None or (
                0 <= entry.interface < len(self.interfaces) and self.interfaces[entry.interface].sandbox
            ):
                found.append(str(entry.address.ip))
        return tuple(dict.fromkeys(found))


def parse(document: Json, version: str, where: str) -> Result:
    """Read a result; ``version`` holds if the document names none.

    Raises:
        NetworkConfigInvalid: an unsupported version or a malformed field.
    """
    stated = string(document, "cniVersion", where) or version
    if stated not in versions.SUPPORTED:
        raise NetworkConfigInvalid(f"{where}: result of cniVersion {stated!r}, which is not supported")
    return Result(
        interfaces=tuple(_parse_interface(item, where) for item in objects(document, "interfaces", where)),
        ips=tuple(_parse_address(item, where) for item in objects(document, "ips", where)),
        routes=tuple(parse_route(item, where) for item in objects(document, "routes", where)),
        dns=parse_dns(document, where),
    )


def render(result: Result, version: str) -> dict[str, object]:
    """Write a result in ``version``, with the fields and the order of the reference plugins."""
    modern = versions.at_least(version, "1.1.0")
    document: dict[str, object] = {"cniVersion": version}
    if result.interfaces:
        document["interfaces"] = [_render_interface(item, modern) for item in result.interfaces]
    if result.ips:
        document["ips"] = [_render_address(item, version) for item in result.ips]
    if result.routes:
        document["routes"] = [_render_route(item, modern) for item in result.routes]
    document["dns"] = render_dns(result.dns)
    return document


def parse_route(item: Json, where: str) -> Route:
    """Read one route of a result or of an IPAM configuration."""
    gateway = string(item, "gw", where)
    numbers = {key: integer(item, key, where) for key in _ROUTE_NUMBERS}
    return Route(
        network(string(item, "dst", where), "routes.dst", where),
        address(gateway, "routes.gw", where) if gateway else None,
        table=integer(item, "table", where) if "table" in item else None,
        scope=integer(item, "scope", where) if "scope" in item else None,
        **numbers,
    )


def parse_dns(document: Json, where: str) -> Dns:
    """Read the ``dns`` object of a result or a plugin configuration."""
    value = document.get("dns")
    if value is None:
        return Dns()
    if not isinstance(value, Mapping):
        raise NetworkConfigInvalid(f"{where}: dns must be an object")
    return Dns(
        strings(value, "nameservers", where),
        string(value, "domain", where),
        strings(value, "search", where),
        strings(value, "options", where),
    )


def render_dns(dns: Dns) -> dict[str, object]:
    """Write DNS settings; what is empty is left out."""
    fields: dict[str, object] = {
        "nameservers": list(dns.nameservers),
        "domain": dns.domain,
        "search": list(dns.search),
        "options": list(dns.options),
    }
    return {key: value for key, value in fields.items() if value}


def merged_dns(result: Result, dns: Dns) -> Result:
    """The result with ``dns`` in place of its own, unless ``dns`` is empty."""
    return replace(result, dns=dns) if dns != Dns() else result


def _parse_interface(item: Json, where: str) -> Interface:
    return Interface(
        string(item, "name", where),
        string(item, "mac", where),
        string(item, "sandbox", where),
        integer(item, "mtu", where),
        string(item, "socketPath", where),
        string(item, "pciID", where),
    )


def _parse_address(item: Json, where: str) -> Address:
    gateway = string(item, "gateway", where)
    return Address(
        interface(string(item, "address", where), "ips.address", where),
        address(gateway, "ips.gateway", where) if gateway else None,
        integer(item, "interface", where) if item.get("interface") is not None else None,
    )


def _render_interface(item: Interface, modern: bool) -> dict[str, object]:
    fields: dict[str, object] = {"name": item.name}
    optional: list[tuple[str, object]] = [("mac", item.mac)]
    if modern:
        optional.append(("mtu", item.mtu))
    optional.append(("sandbox", item.sandbox))
    if modern:
        optional += [("socketPath", item.socket_path), ("pciID", item.pci_id)]
    fields.update({key: value for key, value in optional if value})
    return fields


def _render_address(item: Address, version: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    if not versions.at_least(version, "1.0.0"):
        fields["version"] = str(item.address.version)
    if item.interface is not None:
        fields["interface"] = item.interface
    fields["address"] = str(item.address)
    if item.gateway is not None:
        fields["gateway"] = str(item.gateway)
    return fields


def _render_route(item: Route, modern: bool) -> dict[str, object]:
    fields: dict[str, object] = {"dst": str(item.destination)}
    if item.gateway is not None:
        fields["gw"] = str(item.gateway)
    if modern:
        fields.update({key: getattr(item, key) for key in _ROUTE_NUMBERS if getattr(item, key)})
        fields.update(
            {key: getattr(item, key) for key in ("table", "scope") if getattr(item, key) is not None}
        )
    return fields
