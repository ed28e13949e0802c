"""docs/kubernetes.md: a kubelet without an API server, from the files that node-config writes for it."""

from pathlib import Path

from tests.node.conftest import INSTALL, Guest
from tests.node.kubernetes import image_archives, node_files
from tests.node.page import commands

TIMEOUT_S = 1800
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  containers:
  - {name: sleeper, image: registry.k8s.io/pause:3.10.2, command: [sleep, "100000"]}
"""
# systemd-analyze says what it has against the unit, and nothing if it has nothing.
AFTERWARDS = f"""
systemd-analyze verify --man=no kubelet.service 2>&1 | grep -i kubelet && exit 1
cat >/etc/kubernetes/manifests/pod.yaml <<'POD'
{POD}POD
until crictl ps --state Running | grep sleeper; do sleep 5; done
systemctl show --property=After,Wants,ExecStart kubelet.service
"""


def test_a_static_pod_runs_after_the_commands_of_the_page(guest: Guest) -> None:
    prelude = f"{INSTALL}\nset -eux\npodwright image import /root/pause.tar\ncd /root"
    additions = {image_archives() / "pause.tar": Path("/root/pause.tar"), **node_files(kubeadm=False)}
    outcome = guest.run(
        "\n".join((prelude, *commands("A plain kubelet"), AFTERWARDS)),
        timeout_s=TIMEOUT_S,
        additions=additions,
    )
    assert outcome.code == 0, outcome.output[-4000:]
    shown = dict(line.split("=", 1) for line in outcome.output.splitlines() if "=" in line)
    assert "podwright.service" in shown["After"].split()
    assert "podwright.service" in shown["Wants"].split()
    assert "--config=/etc/kubernetes/kubelet.yaml" in shown["ExecStart"]
