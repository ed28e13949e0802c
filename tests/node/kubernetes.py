"""What a node fetches to become one of kubeadm's, made here: the guest has no network.

Programs and images are built from the Go modules of tests/cluster, with the names and tags that kubeadm asks
for; the kubelet's units do what those of the Kubernetes packages do.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.critest.toolchain import ensure_tool
from tests.harness.cache import cached, key_of
from tests.harness.debian import unpacked
from tests.harness.images import Entry, Image, Layer
from tools.demo import busybox_image

SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What kube-proxy calls, with all that it links to.
PROXY_PACKAGES = (
    *("iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnftnl11", "libmnl0", "libc6"),
    *("conntrack", "libnetfilter-conntrack3", "libnfnetlink0"),
    *("kmod", "libkmod2", "liblzma5", "libzstd1", "libssl3"),
)
IPTABLES = (
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
)
LIST_TIMEOUT_S = 120

UNIT_DIRECTORY = Path("/usr/lib/systemd/system")
UNITS = Path(__file__).with_name("units")


def node_files(*, kubeadm: bool = True) -> Mapping[Path, Path]:
    """What the Kubernetes packages would bring: where it is here, and where it belongs."""
    files = {
        ensure_tool("kubelet"): Path("/usr/bin/kubelet"),
        UNITS / "kubelet.service": UNIT_DIRECTORY / "kubelet.service",
    }
    if kubeadm:
        files |= {ensure_tool(name): Path("/usr/bin") / name for name in ("kubeadm", "kubectl")}
        files[UNITS / "10-kubeadm.conf"] = UNIT_DIRECTORY / "kubelet.service.d/10-kubeadm.conf"
    return files


def image_archives() -> Path:
    """A directory with an archive for each image that kubeadm asks for."""
    tools = {name: ensure_tool(name) for name in _MAKERS if name != "pause"}
    names = wanted_images()
    key = key_of(*names, *map(str, tools.values()), *PROXY_PACKAGES, Path(__file__).read_bytes())

    def make(target: Path) -> None:
        for name in names:
            program = name.rpartition(":")[0].rpartition("/")[2]
            _MAKERS[program](program).write_docker_archive(target / f"{program}.tar", name)

    return cached("kubeadm-images", key, make)


def wanted_images() -> list[str]:
    """The names with their tags, as kubeadm lists them."""
    kubeadm = ensure_tool("kubeadm")
    version = subprocess.run(
        [kubeadm, "version", "-o", "short"],
        capture_output=True,
        text=True,
        timeout=LIST_TIMEOUT_S,
        check=True,
    ).stdout.strip()
    listed = subprocess.run(
        [kubeadm, "config", "images", "list", "--kubernetes-version", version],
        capture_output=True,
        text=True,
        timeout=LIST_TIMEOUT_S,
        check=True,
    )
    return listed.stdout.split()


def _one_program(name: str) -> Image:
    entry = Entry(f"usr/local/bin/{name}", ensure_tool(name).read_bytes())
    return Image([Layer.of([*_directories(entry.path), entry])], {"Env": [SEARCH_PATH]})


def _coredns(name: str) -> Image:
    entry = Entry(name, ensure_tool(name).read_bytes())
    return Image([Layer.of([entry])], {"Entrypoint": [f"/{name}"]})


def _proxy(name: str) -> Image:
    tree, _ = unpacked(PROXY_PACKAGES)
    return Image([Layer.of(_proxy_tree(tree)), *_one_program(name).layers], {"Env": [SEARCH_PATH]})


def _proxy_tree(tree: Path) -> Iterator[Entry]:
    """The packages' programs and libraries, and the links that Debian's alternatives would make."""
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if name.startswith("usr/share"):
            continue
        if path.is_symlink():
            yield Entry(name, link=str(path.readlink()))
        elif path.is_dir():
            yield Entry(name)
        else:
            yield Entry(name, path.read_bytes(), path.stat().st_mode & 0o777)
    for name in IPTABLES:
        yield Entry(f"usr/sbin/{name}", link="xtables-nft-multi")


def _directories(path: str) -> Iterator[Entry]:
    yield from (Entry(str(parent)) for parent in list(Path(path).parents)[-2::-1])


_MAKERS: Mapping[str, Callable[[str], Image]] = {
    "kube-apiserver": _one_program,
    "kube-controller-manager": _one_program,
    "kube-scheduler": _one_program,
    "kube-proxy": _proxy,
    "etcd": _one_program,
    "coredns": _coredns,
    "pause": lambda _: busybox_image(),
}
