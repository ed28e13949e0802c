"""The host-local IPAM plugin: leases from ranges of this host, kept as files (leases.py)."""

import ipaddress
import threading
from dataclasses import dataclass
from pathlib import Path

from cni.builtin.base import Request
from cni.builtin.leases import Leases, allocate, owner_bytes
from cni.builtin.ranges import RangeSet, check_overlaps, parse_set
from cni.errors import NetworkConfigInvalid, PluginFailed
from cni.fields import IpAddress, Json, address, items, mapping, objects, string, strings
from cni.result import Address, Dns, Result, Route, parse_route

_DEFAULT_DATA_DIR = "/var/lib/cni/networks"


@dataclass(frozen=True, slots=True)
class Ipam:
    """The ``ipam`` object of a configuration, with the ranges and addresses asked for at this call."""

    data_dir: Path
    sets: tuple[RangeSet, ...]
    routes: tuple[Route, ...]
    resolv_conf: str
    requested: tuple[IpAddress, ...]


class HostLocal:
    """The built-in ``host-local``; alone or on behalf of another built-in."""

    def __init__(self) -> None:
        self._guards: dict[Path, threading.Lock] = {}
        self._guards_lock = threading.Lock()
        # Owners seen in each directory: without it every ADD would read every lease to find a repeated one.
        self._owners: dict[Path, set[bytes]] = {}

    def refuses(self, conf: Json) -> str:
        """Nothing."""
        return ""

    def add(self, request: Request) -> Result:
        """Lease one address of every range set; a failure keeps none.

        Raises:
            PluginFailed: a range is exhausted, or an address asked for is taken or in no range.
        """
        ipam = parse_ipam(request)
        leases = self._leases(ipam, request)
        owner = owner_bytes(request.call.container_id, request.call.ifname)
        with leases.locked():
            known = self._known(leases)
            held = [text for text in leases.of(owner) if _in_sets(text, ipam)] if owner in known else []
            if held:
                raise PluginFailed(
                    f"{request.where}: {', '.join(held)} has been allocated to {request.call.container_id}"
                    " already; DEL it first"
                )
            try:
                ips = _lease_all(ipam, leases, owner, request.where)
            except BaseException:
                leases.release(owner, [])
                raise
            known.add(owner)
        dns = read_resolv_conf(Path(ipam.resolv_conf)) if ipam.resolv_conf else Dns()
        return Result(ips=ips, routes=ipam.routes, dns=dns)

    def check(self, request: Request) -> None:
        """The pod has a lease."""
        leases = self._leases(parse_ipam(request), request)
        if not leases.of(owner_bytes(request.call.container_id, request.call.ifname)):
            raise PluginFailed(f"{request.where}: no address is leased to {request.call.container_id}")

    def delete(self, request: Request) -> None:
        """End the pod's leases."""
        ipam = parse_ipam(request)
        leases = self._leases(ipam, request)
        if not leases.directory.exists():
            return
        hints = []
        if request.previous is not None:
            hints = [text for text in request.previous.pod_ips() if _in_sets(text, ipam)]
        owner = owner_bytes(request.call.container_id, request.call.ifname)
        with leases.locked():
            leases.release(owner, hints)
            self._known(leases).discard(owner)

    def collect(self, conf: Json, valid: frozenset[tuple[str, str]]) -> None:
        """End leases of attachments that are not valid."""
        where = "host-local GC"
        ipam = mapping(conf, "ipam", where)
        base = Path(string(ipam, "dataDir", where) or _DEFAULT_DATA_DIR)
        leases = self._open(base / string(conf, "name", where))
        if not leases.directory.exists():
            return
        containers = {container for container, _ in valid}
        with leases.locked():
            leases.sweep()
            for leased, (container, ifname) in leases.owners().items():
                alive = (container, ifname) in valid if ifname else container in containers
                if not alive:
                    leases.free(leased)

    def _known(self, leases: Leases) -> set[bytes]:
        """The owners in a directory as far as we know. Needs the lock."""
        known = self._owners.get(leases.directory)
        if known is None:
            known = {owner_bytes(*pair) for pair in leases.owners().values()}
            self._owners[leases.directory] = known
        return known

    def _leases(self, ipam: Ipam, request: Request) -> Leases:
        return self._open(ipam.data_dir / request.network)

    def _open(self, directory: Path) -> Leases:
        with self._guards_lock:
            guard = self._guards.setdefault(directory, threading.Lock())
        return Leases(directory, guard)


def parse_ipam(request: Request) -> Ipam:
    """Read the ``ipam`` object, the ``ipRanges`` capability and requested addresses.

    Raises:
        NetworkConfigInvalid: what is wrong, with its key.
    """
    where = request.where
    conf = mapping(request.conf, "ipam", where)
    sets: list[RangeSet] = []
    if "subnet" in conf:
        sets.append(parse_set([conf], where))
    for source in (conf.get("ranges"), request.runtime().get("ipRanges")):
        for one in items({"ranges": source}, "ranges", where):
            sets.append(parse_set(objects({"set": one}, "set", where), where))
    if not sets:
        raise NetworkConfigInvalid(f"{where}: ipam has neither ranges nor subnet")
    check_overlaps(tuple(one for found in sets for one in found.ranges), where)
    return Ipam(
        Path(string(conf, "dataDir", where) or _DEFAULT_DATA_DIR),
        tuple(sets),
        tuple(parse_route(item, where) for item in objects(conf, "routes", where)),
        string(conf, "resolvConf", where),
        _requested(request),
    )


def read_resolv_conf(path: Path) -> Dns:
    """The name service settings of a resolv.conf."""
    found: dict[str, list[str]] = {"nameserver": [], "domain": [], "search": [], "options": []}
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if words and not line.startswith(("#", ";")) and words[0] in found:
            if words[0] in ("domain", "search"):
                found[words[0]] = []  # the last one counts
            found[words[0]] += words[1:]
    return Dns(
        tuple(found["nameserver"]),
        "".join(found["domain"][:1]),
        tuple(found["search"]),
        tuple(found["options"]),
    )


def _requested(request: Request) -> tuple[IpAddress, ...]:
    texts = [
        *strings(request.runtime(), "ips", request.where),
        *strings(request.cni_args(), "ips", request.where),
    ]
    for key, value in request.call.args:
        if key == "IP":
            texts += value.split(",")
    return tuple(address(text, "requested IP", request.where) for text in texts if text)


def _lease_all(ipam: Ipam, leases: Leases, owner: bytes, where: str) -> tuple[Address, ...]:
    requested = list(ipam.requested)
    ips = []
    for position, ranges in enumerate(ipam.sets):
        wanted = next((one for one in requested if ranges.find(one)), None)
        if wanted is not None:
            requested.remove(wanted)
        leased = allocate(leases, ranges, position, owner, wanted, _last(leases, position))
        if leased is None:
            names = ", ".join(f"{one.start}-{one.end}" for one in ranges.ranges)
            problem = (
                f"requested IP {wanted} is not free" if wanted else f"no IP addresses available in {names}"
            )
            raise PluginFailed(f"{where}: {problem}")
        one = ranges.ranges[leased[1]]
        ips.append(Address(one.interface(leased[0]), one.gateway, None))
    if requested:
        raise PluginFailed(f"{where}: requested IP {requested[0]} is in none of the ranges")
    return tuple(ips)


def _last(leases: Leases, position: int) -> IpAddress | None:
    try:
        return ipaddress.ip_address(leases.last(position))
    except ValueError:
        return None


def _in_sets(text: str, ipam: Ipam) -> bool:
    candidate = ipaddress.ip_address(text)
    return any(ranges.find(candidate) for ranges in ipam.sets)
