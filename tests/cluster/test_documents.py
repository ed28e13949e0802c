"""What the documents say to type to kubectl, typed at the cluster."""

import re
import shlex
import subprocess

import pytest
import yaml

from tests.cluster.cluster import Cluster
from tests.harness.documents import OPERATORS, blocks, inline_code, place_of, typed
from tests.harness.patience import patient
from tests.kubelet.kubelet import NODE
from tests.kubelet.manifests import IMAGE, container, pod

pytestmark = pytest.mark.root
PAGE = "docs/user-namespaces.md"


def lines(document: str) -> list[str]:
    """Set apart, or a whole command in the text; comments taken off."""
    found = [line for _, line in typed(document)] + [code for _, code in inline_code(document)]
    whole = [re.sub(r"\s+#.*", "", line) for line in found if re.match(r"kubectl \S+ \S", line)]
    return [line for line in whole if place_of(line) == "cluster"]


def arguments(line: str, **names: str) -> list[str]:
    """For our kubectl, which has its own file of credentials; capitals stand for names."""
    line = line.replace(" --kubeconfig /etc/kubernetes/admin.conf", "")
    for placeholder, name in names.items():
        line = re.sub(rf"\b{placeholder}\b", name, line)
    _, *words = shlex.split(line)
    return words


def one(document: str, begin: str) -> str:
    """The line of a document that begins so."""
    (found,) = {line for line in lines(document) if line.startswith(begin)}
    return found


def test_every_line_is_run_here_or_said_why_not() -> None:
    known = ("get ", "taint ", "drain ", "uncordon ", "annotate ", "exec own-users ", "debug ")
    for document in OPERATORS:
        for line in lines(document):
            rest = re.sub(r"^kubectl (--kubeconfig \S+ |-n kube-system )?", "", line)
            assert rest.startswith(known), f"{document}: {line}"


def test_a_node_is_looked_at_and_its_taint_taken_off(cluster: Cluster) -> None:
    page = "docs/kubernetes.md"
    shown = cluster.kubectl(*arguments(one(page, "kubectl --kubeconfig /etc/kubernetes/admin.conf get")))
    assert re.search(rf"^{NODE} +Ready ", shown, re.MULTILINE)
    taint = "node-role.kubernetes.io/control-plane"
    cluster.kubectl("taint", "nodes", NODE, f"{taint}=:NoSchedule")
    cluster.kubectl(*arguments(one(page, "kubectl --kubeconfig /etc/kubernetes/admin.conf taint")))
    assert taint not in cluster.kubectl("get", "node", NODE, "-o", "yaml")
    cluster.kubectl(*arguments(one(page, "kubectl -n kube-system get pods")))


def test_a_node_is_drained_told_of_its_socket_and_taken_back(cluster: Cluster) -> None:
    page = "docs/moving-over.md"
    cluster.run(pod("bare", metadata={"labels": {"app": "bare"}}))
    # Nobody would make a bare pod again: kubectl wants to be told.
    cluster.kubectl(*arguments(one(page, "kubectl drain"), NODE=NODE), "--force")
    cluster.until(lambda: cluster.pods("bare"), lambda left: not left, "the pod is gone")
    shown = cluster.kubectl(*arguments(one(page, "kubectl get node"), NODE=NODE))
    assert "SchedulingDisabled" in shown
    assert "podwright://" in shown
    cluster.kubectl(*arguments(one(page, "kubectl annotate"), NODE=NODE))
    assert "podwright.sock" in cluster.kubectl("get", "node", NODE, "-o", "jsonpath={.metadata.annotations}")
    cluster.kubectl("annotate", "node", NODE, "kubeadm.alpha.kubernetes.io/cri-socket-")
    cluster.kubectl(*arguments(one(page, "kubectl uncordon"), NODE=NODE))
    cluster.run(pod("back"))


def test_a_pod_with_users_of_its_own(cluster: Cluster) -> None:
    """The manifest of the page, with an image that is here and something to do."""
    (block,) = (each for each in blocks(PAGE) if each.language == "yaml")
    manifest = yaml.safe_load(block.text)
    manifest["spec"]["containers"][0] |= {"image": IMAGE, "command": ["sleep", "1000000"]}
    manifest["spec"]["terminationGracePeriodSeconds"] = 0
    cluster.run(manifest)
    inside, outside, count = cluster.kubectl(*arguments(one(PAGE, "kubectl exec"))).split()
    assert (inside, int(outside) >= 65536, count) == ("0", True, "65536")


def test_a_shell_is_put_beside_a_container(cluster: Cluster) -> None:
    seen = cluster.run(pod("bare", container("main", "sleep 1000000")))
    words = arguments(one("docs/debugging.md", "kubectl debug"), POD=seen.name, CONTAINER="main")
    words = [word.replace("--image=busybox", f"--image={IMAGE}") for word in words]
    # Without a terminal of ours: -t is for people.
    words = ["-i" if word == "-it" else word for word in words]
    line = cluster.kubectl_line(*words, "--", "sh", "-c", "echo beside; ps | grep -c 'sleep 1000000'")
    done = subprocess.run(line, input="", capture_output=True, text=True, timeout=patient(120), check=False)
    assert done.returncode == 0, done.stderr
    names = [one["name"] for one in cluster.pod_json(seen.name)["spec"]["ephemeralContainers"]]
    log = cluster.until(
        lambda: cluster.kubectl("logs", seen.name, "-c", names[0]),
        lambda text: "beside" in text,
        "the shell has said so",
    )
    assert re.search(r"^[1-9]", log.split("beside\n")[1])  # it sees the container's processes
