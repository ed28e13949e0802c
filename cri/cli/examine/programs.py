"""OCI runtimes, CNI and the tools that are called."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cni.conflist import NetworkList, read_directory
from conf.schema import NetworkTable, RuntimeTable
from cri.cli.examine.findings import Finding, fails, ok, warning
from oci import own

PREFERRED = ("crun", "runc", own.HANDLER)
BUILT_IN_PLUGINS = frozenset({"loopback", "bridge", "host-local", "portmap"})

Which = Callable[[str], str | None]


def runtime_binaries(table: RuntimeTable, which: Which) -> Mapping[str, str | None]:
    """Path of every handler's binary, the configured ones and the built-in ones; None where it is missing."""
    names = dict.fromkeys((*table.runtimes, *PREFERRED))
    configured: dict[str, Path | None] = {own.HANDLER: own.program()}
    configured |= {name: found for name, one in table.runtimes.items() if (found := one.runtime_path)}
    return {name: which(str(configured.get(name) or name)) for name in names}


def default_handler(table: RuntimeTable, binaries: Mapping[str, str | None]) -> str:
    """The handler of pods that name none; empty when there is none."""
    return table.default_runtime or next((name for name in PREFERRED if binaries.get(name)), "")


def runtimes(
    table: RuntimeTable, binaries: Mapping[str, str | None], version: Callable[[str], str]
) -> Iterator[Finding]:
    """The handlers.

    Args:
        table: The configuration.
        binaries: As runtime_binaries gives them.
        version: First line of what a binary says to --version; OSError when it cannot be run.
    """
    default = default_handler(table, binaries)
    if not default:
        yield fails("runtime", "no runtime is installed, not even our own", "install Podwright anew")
        return
    for name, path in binaries.items():
        report = fails if name == default else warning
        mark = f"{name} (default)" if name == default else name
        if path is None:
            if name == default or name in table.runtimes:
                yield report("runtime", f"{mark} was not found", f"install it, or set runtime_path of {name}")
            continue
        try:
            yield ok("runtime", f"{mark}: {path}, {version(path)}")
        except OSError as error:
            yield report("runtime", f"{mark}: {path} does not run: {error}", f"install {name} anew")


def network(table: NetworkTable) -> Iterator[Finding]:
    """The CNI configuration that will be used, and its plugins."""
    directory = read_directory(table.network_dir)
    yield from (warning("network", problem) for problem in directory.errors.values())
    chosen = chosen_network(tuple(directory.lists.values()), table.cni_default_network)
    if chosen is None:
        what = f'"{table.cni_default_network}"' if table.cni_default_network else "configuration"
        text = f"no {what} in {table.network_dir}: only pods on the host's network run"
        yield warning("network", text, "install a network add-on, or put a .conflist there")
        return
    yield ok("network", f'"{chosen.name}" from {chosen.source}')
    built_in = BUILT_IN_PLUGINS if table.builtin_plugins != "never" else frozenset()
    missing = [name for name in _plugins(chosen) if name not in built_in and not _find(name, table)]
    if missing:
        searched = ", ".join(map(str, table.plugin_dirs))
        text = f"plugins not found in {searched}: {', '.join(missing)}; pods of this network fail"
        yield warning("network", text, "install the plugins, or set plugin_dirs")


def chosen_network(lists: tuple[NetworkList, ...], name: str) -> NetworkList | None:
    """The network for pods: the first of that name, or the first of all if none is configured."""
    fitting = (each for each in lists if not name or each.name == name)
    return next(fitting, None)


def _plugins(network: NetworkList) -> Iterator[str]:
    yield "loopback"
    for plugin in network.plugins:
        yield str(plugin["type"])
        ipam = plugin.get("ipam")
        if isinstance(ipam, Mapping) and ipam.get("type"):
            yield str(ipam["type"])


def _find(name: str, table: NetworkTable) -> Path | None:
    candidates = (directory / name for directory in table.plugin_dirs)
    return next((path for path in candidates if path.is_file()), None)


def nft(which: Which) -> Iterator[Finding]:
    """The tool that masquerading and host ports of the built-in plugins need."""
    if path := which("nft"):
        yield ok("nft", path)
    else:
        text = "not found: the built-in plugins cannot masquerade or publish host ports"
        yield warning("nft", text, "apt install nftables")
