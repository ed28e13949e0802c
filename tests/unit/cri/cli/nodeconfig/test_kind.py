from dataclasses import replace
from pathlib import Path

import yaml

from conf.load import load
from conf.schema import ApiTable, Config, RuntimeTable
from cri.cli.nodeconfig import kind
from tests.unit.cri.cli.nodeconfig.made import by_name, documents, facts


def test_first_nodes_and_joining_ones_get_the_socket() -> None:
    files = by_name(kind.files(facts(socket=Path("/run/other.sock"))))
    cluster = documents(files["cluster.yaml"])["Cluster"]
    patches = {each["kind"]: each for each in map(yaml.safe_load, cluster["kubeadmConfigPatches"])}
    assert set(patches) == {"InitConfiguration", "JoinConfiguration"}
    for patch in patches.values():
        assert patch["nodeRegistration"] == {"criSocket": "unix:///run/other.sock"}
        assert patch["apiVersion"] == "kubeadm.k8s.io/v1beta4"


def test_the_image_that_is_built_is_the_one_the_cluster_names() -> None:
    files = by_name(kind.files(facts()))
    (node,) = documents(files["cluster.yaml"])["Cluster"]["nodes"]
    assert f"docker build -t {node['image']} ." in files["Dockerfile"].text


def test_every_file_that_the_image_copies_is_there_but_for_the_package() -> None:
    files = by_name(kind.files(facts()))
    copied = [line.split()[1] for line in files["Dockerfile"].text.splitlines() if line.startswith("COPY")]
    assert copied == ["podwright_*.deb", "podwright.conf", "crictl.yaml"]
    assert set(copied[1:]) < set(files)


def test_the_nodes_have_the_options_of_this_one(tmp_path: Path) -> None:
    runtime = RuntimeTable(apparmor_profile="mine", no_pivot=True)
    config = Config(api=ApiTable(listen=Path("/run/other.sock")), runtime=runtime)
    file = by_name(kind.files(facts(config=config)))["podwright.conf"]
    (tmp_path / file.name).write_text(file.text)
    # AppArmor profiles cannot be loaded in them.
    expected = replace(config, runtime=replace(runtime, apparmor_profile="unconfined"))
    assert load(tmp_path / file.name).config == expected


def test_the_image_has_a_bus_to_reach_systemd_by() -> None:
    lines = by_name(kind.files(facts()))["Dockerfile"].text.splitlines()
    (install,) = [line for line in lines if "apt-get install" in line]
    assert "dbus" in install.split()


def test_kubelets_are_told_to_start_with_cgroup_version_1() -> None:
    cluster = documents(by_name(kind.files(facts(cgroup_version=1)))["cluster.yaml"])["Cluster"]
    patches = {each["kind"]: each for each in map(yaml.safe_load, cluster["kubeadmConfigPatches"])}
    assert patches["KubeletConfiguration"] == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
    }
