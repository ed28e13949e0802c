"""minikube on this machine itself (driver "none"): a script with its flags."""

from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, template
from cri.version import VERSION

# Else kubeadm and kubelet refuse cgroup version 1.
_VERSION_1_FLAGS = """\
    --extra-config=kubelet.fail-cgroupv1=false \\
    --extra-config=kubeadm.ignore-preflight-errors=SystemVerification \\
"""


def files(facts: Facts) -> list[File]:
    """The script."""
    values = {
        "SOCKET": str(facts.socket),
        "CGROUP_DRIVER": facts.cgroup_driver,
        "VERSION": VERSION,
        "CGROUP_FLAGS": _VERSION_1_FLAGS if facts.cgroup_version == 1 else "",
    }
    return [File("minikube-start.sh", template("minikube-start.sh", values), mode=0o755)]
