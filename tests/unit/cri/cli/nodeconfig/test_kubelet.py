import configparser
import shlex

import pytest

from cri.cli.nodeconfig import kubelet
from tests.unit.cri.cli.nodeconfig.made import SOCKET, by_name, documents, facts


def test_the_configuration_names_the_runtime_and_its_cgroup_driver() -> None:
    files = by_name(kubelet.files(facts()))
    content = documents(files["kubelet.yaml"])["KubeletConfiguration"]
    assert content["apiVersion"] == "kubelet.config.k8s.io/v1beta1"
    assert content["containerRuntimeEndpoint"] == SOCKET
    assert content["cgroupDriver"] == "systemd"
    assert content["authentication"] == {"anonymous": {"enabled": False}, "webhook": {"enabled": False}}


@pytest.mark.parametrize(("version", "expected"), [(1, False), (2, None)])
def test_a_kubelet_may_start_on_cgroup_v1_where_that_is_what_there_is(version: int, expected: bool) -> None:
    assert kubelet.base(facts(cgroup_version=version)).get("failCgroupV1") is expected


def test_the_drop_in_starts_the_runtime_first_and_replaces_the_command() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(by_name(kubelet.files(facts()))["20-podwright.conf"].text)
    assert dict(unit["Unit"]) == {"Wants": "podwright.service", "After": "podwright.service"}
    program, *flags = shlex.split(unit["Service"]["ExecStart"])
    assert (program, flags) == ("/usr/bin/kubelet", [f"--config={kubelet.CONFIGURATION}"])


def test_an_empty_command_comes_first_since_systemd_would_add_to_the_list() -> None:
    lines = by_name(kubelet.files(facts()))["20-podwright.conf"].text.splitlines()
    assert next(line for line in lines if line.startswith("ExecStart")) == "ExecStart="
