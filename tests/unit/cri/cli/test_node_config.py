import json
from pathlib import Path

import pytest
import yaml

from cri.cli import main
from cri.cli.arguments import NODE_CONFIG_TOOLS


@pytest.fixture
def configuration(tmp_path: Path) -> list[str]:
    """Flags for a configuration of its own, with a socket of its own and no network."""
    file = tmp_path / "a.conf"
    file.write_text(
        f'[crio.api]\nlisten = "/run/own.sock"\n[crio.network]\nnetwork_dir = "{tmp_path}/net.d"\n'
    )
    return ["--config", str(file)]


def test_the_only_file_of_a_tool_is_printed_alone(
    configuration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["node-config", "crictl", *configuration]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["runtime-endpoint"] == "unix:///run/own.sock"


def test_several_files_stand_below_their_names(
    configuration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["node-config", "kubelet", *configuration]) == 0
    headers = [line for line in capsys.readouterr().out.splitlines() if line.startswith("# file: ")]
    assert headers == ["# file: kubelet.yaml", "# file: 20-podwright.conf"]


@pytest.mark.parametrize("tool", NODE_CONFIG_TOOLS)
def test_every_tool_has_files_that_can_be_written(
    tool: str, configuration: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["node-config", tool, "--write", str(tmp_path / tool), *configuration]) == 0
    told = capsys.readouterr().out.splitlines()
    assert sorted(told) == sorted(map(str, (tmp_path / tool).iterdir()))
    assert told != []


@pytest.mark.parametrize("tool", NODE_CONFIG_TOOLS)
def test_a_network_whose_range_another_plugin_fills_in_is_no_obstacle(
    tool: str, configuration: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.d").mkdir()
    ipam = {"type": "host-local", "subnet": "usePodCidr"}
    conflist = {
        "cniVersion": "0.3.1",
        "name": "k8s-pod-network",
        "plugins": [{"type": "calico", "ipam": ipam}],
    }
    (tmp_path / "net.d/10-canal.conflist").write_text(json.dumps(conflist))
    assert main(["node-config", tool, *configuration]) == 0
    assert "podSubnet:" not in capsys.readouterr().out


def test_a_changed_file_is_not_overwritten(
    configuration: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crictl.yaml").write_text("mine")
    assert main(["node-config", "crictl", "--write", str(tmp_path), *configuration]) == 1
    assert f"{tmp_path}/crictl.yaml is there and differs" in capsys.readouterr().err


def test_joining_takes_what_kubeadm_printed(
    configuration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--join", "10.0.0.1:6443", "--token", "abcdef.0123456789abcdef"]
    given += ["--discovery-token-ca-cert-hash", "sha256:" + "0" * 64]
    assert main(["node-config", "kubeadm", *given, *configuration]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["kind"] == "JoinConfiguration"


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["kubeadm", "--join", "10.0.0.1:6443"], "--token: is missing"),
        (["kubeadm", "--token", "abcdef.0123456789abcdef"], "--join: is missing"),
        (["crictl", "--join", "x"], "kubeadm alone"),
    ],
)
def test_joining_by_halves_or_without_kubeadm_is_refused(
    argv: list[str], problem: str, configuration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["node-config", *argv, *configuration]) == 1
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""


def test_an_unknown_tool_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["node-config", "k3s"])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert all(tool in told for tool in NODE_CONFIG_TOOLS)


def test_warnings_of_the_configuration_do_not_come_between(
    configuration: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["node-config", "crictl", *configuration, "--set", "runtime.conmon=/x"]) == 0
    captured = capsys.readouterr()
    assert "crio.runtime.conmon" in captured.err
    assert yaml.safe_load(captured.out)["debug"] is False
