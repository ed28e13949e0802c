import json
from pathlib import Path

import pytest

from conf.schema import NetworkTable, RuntimeHandler, RuntimeTable
from cri.cli.examine import programs
from cri.cli.examine.findings import Finding, Level
from oci.own import program

BINARIES = {"crun": "/usr/bin/crun", "runc": "/usr/bin/runc"}


def judge(table: RuntimeTable, binaries: dict[str, str | None]) -> list[Finding]:
    return list(programs.runtimes(table, binaries, lambda path: f"{path} 1.0"))


def test_configured_paths_are_looked_up_instead_of_names() -> None:
    table = RuntimeTable(runtimes={"crun": RuntimeHandler(runtime_path=Path("/own/crun"))})
    own = str(program())
    found = programs.runtime_binaries(table, {"/own/crun": "/own/crun", "runc": "/bin/runc", own: own}.get)
    assert found == {"crun": "/own/crun", "runc": "/bin/runc", "podwright": own}


def test_the_first_of_crun_runc_and_our_own_is_the_default() -> None:
    assert (
        programs.default_handler(RuntimeTable(), {"crun": None, "runc": None, "podwright": "/p"})
        == "podwright"
    )
    assert programs.default_handler(RuntimeTable(), BINARIES) == "crun"
    assert programs.default_handler(RuntimeTable(), {"crun": None, "runc": "/r"}) == "runc"
    assert programs.default_handler(RuntimeTable(default_runtime="runc"), BINARIES) == "runc"


def test_runtimes_are_shown_with_their_versions() -> None:
    findings = judge(RuntimeTable(), dict(BINARIES))
    assert [finding.level for finding in findings] == [Level.OK, Level.OK]
    assert findings[0].text == "crun (default): /usr/bin/crun, /usr/bin/crun 1.0"


def test_no_runtime_at_all_fails() -> None:
    (finding,) = judge(RuntimeTable(), {"crun": None, "runc": None})
    assert finding.level is Level.FAILS


def test_a_missing_default_fails_and_another_missing_handler_is_a_warning() -> None:
    table = RuntimeTable(default_runtime="a", runtimes={"a": RuntimeHandler(), "b": RuntimeHandler()})
    findings = judge(table, {"a": None, "b": None, "crun": "/usr/bin/crun", "runc": None})
    assert [finding.level for finding in findings] == [Level.FAILS, Level.WARNING, Level.OK]


def test_a_runtime_that_does_not_start_is_told_with_its_reason() -> None:
    def broken(path: str) -> str:
        raise OSError(f"{path} is broken")

    findings = list(programs.runtimes(RuntimeTable(), BINARIES, broken))
    assert [finding.level for finding in findings] == [Level.FAILS, Level.WARNING]
    assert "/usr/bin/crun is broken" in findings[0].text


@pytest.fixture
def table(tmp_path: Path) -> NetworkTable:
    (tmp_path / "net.d").mkdir()
    (tmp_path / "bin").mkdir()
    return NetworkTable(network_dir=tmp_path / "net.d", plugin_dirs=(tmp_path / "bin",))


def put(table: NetworkTable, file: str, name: str, *types: str, ipam: str = "host-local") -> None:
    plugins = [{"type": kind, "ipam": {"type": ipam}} for kind in types]
    document = {"cniVersion": "1.0.0", "name": name, "plugins": plugins}
    (table.network_dir / file).write_text(json.dumps(document))


def test_no_network_is_a_warning(table: NetworkTable) -> None:
    (finding,) = programs.network(table)
    assert finding.level is Level.WARNING
    assert "host's network" in finding.text


def test_built_in_plugins_need_no_binary(table: NetworkTable) -> None:
    put(table, "10-a.conflist", "pods", "bridge", "portmap")
    (finding,) = programs.network(table)
    assert finding.level is Level.OK
    assert '"pods"' in finding.text


def test_missing_plugins_are_named_once_their_directories_are_searched(table: NetworkTable) -> None:
    put(table, "10-a.conflist", "pods", "calico", "bandwidth", ipam="calico-ipam")
    (table.plugin_dirs[0] / "bandwidth").write_text("")
    _, finding = programs.network(table)
    assert finding.level is Level.WARNING
    assert "calico, calico-ipam" in finding.text
    assert "bandwidth" not in finding.text


def test_never_built_in_means_that_the_binaries_are_needed(table: NetworkTable) -> None:
    table = NetworkTable(
        network_dir=table.network_dir, plugin_dirs=table.plugin_dirs, builtin_plugins="never"
    )
    put(table, "10-a.conflist", "pods", "bridge")
    _, finding = programs.network(table)
    assert "loopback, bridge, host-local" in finding.text


def test_the_configured_network_must_be_there(table: NetworkTable) -> None:
    put(table, "10-a.conflist", "pods", "bridge")
    table = NetworkTable(network_dir=table.network_dir, cni_default_network="other")
    (finding,) = programs.network(table)
    assert finding.level is Level.WARNING
    assert '"other"' in finding.text


def test_broken_configurations_are_shown(table: NetworkTable) -> None:
    (table.network_dir / "05-broken.conflist").write_text("{")
    put(table, "10-a.conflist", "pods", "bridge")
    broken, good = programs.network(table)
    assert broken.level is Level.WARNING
    assert "05-broken.conflist" in broken.text
    assert good.level is Level.OK


@pytest.mark.parametrize(("path", "level"), [("/usr/sbin/nft", Level.OK), (None, Level.WARNING)])
def test_nft_is_looked_up(path: str | None, level: Level) -> None:
    (finding,) = programs.nft(lambda name: path)
    assert finding.level is level
