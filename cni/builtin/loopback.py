"""The loopback plugin: ``lo`` up in the pod."""

import ipaddress

from cni.builtin.base import Request
from cni.errors import PluginFailed
from cni.fields import Json
from cni.result import Address, Interface, Result
from host.namespaces import in_namespace
from host.netlink import route
from host.netlink.connection import Netlink


def bring_up(netns: str) -> None:
    """Set ``lo`` of a namespace up; the kernel gives it its addresses.

    Raises:
        OSError: the namespace cannot be joined.
    """

    def inside() -> None:
        with Netlink() as netlink:
            link = route.parse_link(netlink.request(route.get_link("lo"))[0])
            netlink.request(route.set_up(link.index, "lo"))

    in_namespace(netns, inside)


class Loopback:
    """The built-in ``loopback``."""

    def refuses(self, conf: Json) -> str:
        """Nothing."""
        return ""

    def add(self, request: Request) -> Result:
        """Set ``lo`` up; a previous result passes through."""
        bring_up(request.call.netns)
        if request.previous is not None:
            return request.previous
        return Result(
            interfaces=(Interface("lo", "00:00:00:00:00:00", request.call.netns),),
            ips=tuple(Address(ipaddress.ip_interface(text), None, 0) for text in ("127.0.0.1/8", "::1/128")),
        )

    def check(self, request: Request) -> None:
        """``lo`` is up."""

        def inside() -> bool:
            with Netlink() as netlink:
                link = route.parse_link(netlink.request(route.get_link("lo"))[0])
                return bool(link.flags & route.IFF_UP)

        if not in_namespace(request.call.netns, inside):
            raise PluginFailed(f"{request.where}: lo is down")

    def delete(self, request: Request) -> None:
        """Nothing to do: ``lo`` goes with its namespace."""

    def collect(self, conf: Json, valid: frozenset[tuple[str, str]]) -> None:
        """Nothing to do."""
