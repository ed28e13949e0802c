"""host-local on a directory: leases, requests, release, and the reference's format."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cni.builtin.base import Request
from cni.builtin.host_local import HostLocal, read_resolv_conf
from cni.builtin.leases import owner_bytes
from cni.call import Call
from cni.errors import NetworkConfigInvalid, PluginFailed
from cni.result import Dns, Result


def request(
    tmp_path: Path,
    container: str = "one",
    previous: Result | None = None,
    args: tuple[tuple[str, str], ...] = (),
    runtime: dict[str, object] | None = None,
    **ipam: object,
) -> Request:
    conf = {
        "name": "pods",
        "ipam": {"type": "host-local", "dataDir": str(tmp_path), "subnet": "10.0.0.0/29", **ipam},
        "runtimeConfig": runtime or {},
    }
    return Request(Call(container, "/ns", "eth0", args), conf, "1.0.0", previous, "test")


def leased(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "pods").iterdir() if path.name != "lock"}


def test_a_lease_is_the_references_file(tmp_path: Path) -> None:
    result = HostLocal().add(request(tmp_path, routes=[{"dst": "0.0.0.0/0"}]))
    assert result.pod_ips() == ("10.0.0.2",)
    assert str(result.ips[0].gateway) == "10.0.0.1"
    assert str(result.ips[0].address) == "10.0.0.2/29"
    assert [str(route.destination) for route in result.routes] == ["0.0.0.0/0"]
    assert leased(tmp_path) == {"10.0.0.2": b"one\r\neth0", "last_reserved_ip.0": b"10.0.0.2"}


def test_every_range_set_gives_an_address(tmp_path: Path) -> None:
    result = HostLocal().add(
        request(tmp_path, ranges=[[{"subnet": "fd00::/64"}], [{"subnet": "10.1.0.0/24"}]])
    )
    assert result.pod_ips() == ("10.0.0.2", "fd00::2", "10.1.0.2")


def test_an_address_rests_before_it_is_leased_again(tmp_path: Path) -> None:
    ipam = HostLocal()
    first = ipam.add(request(tmp_path))
    ipam.delete(request(tmp_path, previous=first))
    assert ipam.add(request(tmp_path, "two")).pod_ips() == ("10.0.0.3",)


def test_release_needs_no_result(tmp_path: Path) -> None:
    ipam = HostLocal()
    ipam.add(request(tmp_path))
    ipam.add(request(tmp_path, "two"))
    ipam.delete(request(tmp_path))
    ipam.delete(request(tmp_path))
    assert set(leased(tmp_path)) == {"10.0.0.3", "last_reserved_ip.0"}


def test_a_result_of_another_pod_releases_nothing_of_its(tmp_path: Path) -> None:
    ipam = HostLocal()
    first = ipam.add(request(tmp_path))
    ipam.delete(request(tmp_path, "two", previous=first))
    assert "10.0.0.2" in leased(tmp_path)


@pytest.mark.parametrize("content", [b"one", b"one\n", b"one\r\neth0"])
def test_leases_of_other_versions_are_released(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pods").mkdir()
    (tmp_path / "pods" / "10.0.0.5").write_bytes(content)
    HostLocal().delete(request(tmp_path))
    assert leased(tmp_path) == {}


def test_delete_without_a_directory_is_fine(tmp_path: Path) -> None:
    HostLocal().delete(request(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_second_add_is_refused_and_keeps_the_lease(tmp_path: Path) -> None:
    ipam = HostLocal()
    ipam.add(request(tmp_path))
    with pytest.raises(PluginFailed, match=r"10\.0\.0\.2 has been allocated to one already"):
        ipam.add(request(tmp_path))
    with pytest.raises(PluginFailed, match="already"):
        HostLocal().add(request(tmp_path))
    assert "10.0.0.2" in leased(tmp_path)


def test_exhaustion_keeps_nothing(tmp_path: Path) -> None:
    ipam = HostLocal()
    for number in range(5):
        ipam.add(request(tmp_path, f"pod-{number}"))
    with pytest.raises(PluginFailed, match=r"no IP addresses available in 10\.0\.0\.1-10\.0\.0\.6"):
        ipam.add(request(tmp_path, "last", ranges=[[{"subnet": "fd00::/64"}]]))
    assert not any(content.startswith(b"last") for content in leased(tmp_path).values())


@pytest.mark.parametrize(
    "wish",
    [
        {"args": (("IP", "10.0.0.5"),)},
        {"runtime": {"ips": ["10.0.0.5/29"]}},
    ],
)
def test_an_address_may_be_asked_for(tmp_path: Path, wish: dict[str, object]) -> None:
    assert HostLocal().add(request(tmp_path, **wish)).pod_ips() == ("10.0.0.5",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "message"),
    [("10.0.0.1", "is not free"), ("10.0.0.2", "is not free"), ("192.0.2.1", "is in none of the ranges")],
)
def test_a_wish_that_cannot_be_met_leases_nothing(tmp_path: Path, address: str, message: str) -> None:
    ipam = HostLocal()
    ipam.add(request(tmp_path))
    with pytest.raises(PluginFailed, match=message):
        ipam.add(request(tmp_path, "two", args=(("IP", address),)))
    assert not any(content.startswith(b"two") for content in leased(tmp_path).values())


def test_ranges_may_come_with_the_call(tmp_path: Path) -> None:
    runtime: dict[str, object] = {"ipRanges": [[{"subnet": "10.9.0.0/24"}]]}
    assert HostLocal().add(request(tmp_path, runtime=runtime)).pod_ips() == ("10.0.0.2", "10.9.0.2")


def test_without_ranges_the_configuration_is_wrong(tmp_path: Path) -> None:
    one = Request(Call("a", "", "eth0"), {"name": "n", "ipam": {}}, "1.0.0", None, "test")
    with pytest.raises(NetworkConfigInvalid, match="neither ranges nor subnet"):
        HostLocal().add(one)


def test_many_threads_get_different_addresses(tmp_path: Path) -> None:
    ipam = HostLocal()
    barrier = threading.Barrier(8)

    def lease(number: int) -> str:
        barrier.wait()
        return ipam.add(request(tmp_path, f"pod-{number}", subnet="10.0.0.0/24")).pod_ips()[0]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lease, range(8)))) == 8


def test_collect_frees_what_is_not_valid(tmp_path: Path) -> None:
    ipam = HostLocal()
    for container in ("one", "two"):
        ipam.add(request(tmp_path, container))
    (tmp_path / "pods" / ".10.0.0.9.tmp").write_bytes(b"of a daemon that was killed")
    ipam.collect(request(tmp_path).conf, frozenset({("two", "eth0")}))
    assert {
        name: content for name, content in leased(tmp_path).items() if content.startswith((b"one", b"two"))
    } == {"10.0.0.3": owner_bytes("two", "eth0")}
    assert not (tmp_path / "pods" / ".10.0.0.9.tmp").exists()


def test_check_finds_the_lease(tmp_path: Path) -> None:
    ipam = HostLocal()
    ipam.add(request(tmp_path))
    ipam.check(request(tmp_path))
    with pytest.raises(PluginFailed, match="no address is leased to two"):
        ipam.check(request(tmp_path, "two"))


def test_resolv_conf_is_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# comment\nnameserver 10.0.0.10\nnameserver fd00::a\ndomain x.y\nsearch a b\nsearch c d\n"
        "options ndots:5 rotate\n\nsortlist 1.2.3.4\n"
    )
    assert read_resolv_conf(path) == Dns(("10.0.0.10", "fd00::a"), "x.y", ("c", "d"), ("ndots:5", "rotate"))
