"""minikube on this machine itself (driver "none"): a script with its flags."""

from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, template
from cri.version import VERSION


def files(facts: Facts) -> list[File]:
    """The script."""
    values = {"SOCKET": str(facts.socket), "CGROUP_DRIVER": facts.cgroup_driver, "VERSION": VERSION}
    return [File("minikube-start.sh", template("minikube-start.sh", values), mode=0o755)]
