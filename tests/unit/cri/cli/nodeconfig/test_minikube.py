import os
import subprocess
from pathlib import Path

import pytest

from cri.cli.nodeconfig import minikube
from cri.version import VERSION
from tests.unit.cri.cli.nodeconfig.made import facts

RECORD = '#!/bin/sh\nprintf "%s\\n" "${0##*/} $*" >>"$RECORD"\n'


@pytest.fixture(params=[2])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with programs that only write down how they are called, and the script for that place."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("minikube", "systemctl"):
        (programs / name).write_text(RECORD + ("echo /unit" if name == "systemctl" else ""))
        (programs / name).chmod(0o755)
    (file,) = minikube.files(facts(cgroup_version=request.param))
    script = file.text.replace("/usr/local/bin", str(programs)).replace("/etc/", f"{tmp_path}/etc/")
    (tmp_path / file.name).write_text(script)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return tmp_path


def start(node: Path, *flags: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script; what it did and the programs it called."""
    record = node / "record"
    environment = {"PATH": f"{node / 'bin'}:{os.environ['PATH']}", "RECORD": str(record)}
    done = subprocess.run(
        ["sh", node / "minikube-start.sh", *flags],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, record.read_text().splitlines() if record.exists() else []


def test_minikube_is_started_with_the_socket_and_flags_of_ones_own(node: Path) -> None:
    done, calls = start(node, "--kubernetes-version=v1.36.2")
    assert (done.returncode, done.stderr) == (0, "")
    program, verb, *flags = calls[-1].split()
    assert (program, verb) == ("minikube", "start")
    assert {"--driver=none", "--container-runtime=cri-o", "--kubernetes-version=v1.36.2"} < set(flags)
    assert "--cri-socket=/run/podwright/podwright.sock" in flags


@pytest.mark.parametrize(("node", "told"), [(1, True), (2, False)], indirect=["node"])
def test_kubeadm_and_kubelet_are_told_to_go_on_with_cgroup_version_1(node: Path, told: bool) -> None:
    _, calls = start(node, "--profile=own")
    flags = calls[-1].split()
    assert ("--extra-config=kubelet.fail-cgroupv1=false" in flags) is told
    assert ("--extra-config=kubeadm.ignore-preflight-errors=SystemVerification" in flags) is told
    assert flags[-1] == "--profile=own"


def test_crio_answers_what_minikube_asks_of_it(node: Path) -> None:
    start(node)

    def ask(*arguments: str) -> str:
        crio = [str(node / "bin/crio"), *arguments]
        return subprocess.run(crio, capture_output=True, text=True, timeout=60, check=True).stdout

    assert ask("--version") == f"crio version {VERSION}\n"
    assert ask("config") == 'cgroup_manager = "systemd"\n'
    assert (node / "etc/crio/crio.conf.d/02-crio.conf").exists()


def test_the_unit_has_the_name_that_minikube_restarts(node: Path) -> None:
    _, calls = start(node)
    assert (node / "etc/systemd/system/crio.service").readlink() == Path("/unit")
    assert "systemctl daemon-reload" in calls


def test_it_may_be_run_again(node: Path) -> None:
    start(node)
    done, _ = start(node)
    assert done.returncode == 0


def test_a_real_crio_is_left_alone(node: Path) -> None:
    crio = node / "bin/crio"
    crio.write_text("#!/bin/sh\n")
    crio.chmod(0o755)
    done, calls = start(node)
    assert done.returncode == 1
    assert "remove CRI-O first" in done.stderr
    assert (crio.read_text(), calls) == ("#!/bin/sh\n", [])
