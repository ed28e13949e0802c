"""Jobs: pods that end, and those that fail and are tried again."""

from pathlib import Path

import pytest

from tests.cluster.cluster import NAMESPACE, Cluster
from tests.cluster.manifests import job
from tests.kubelet.manifests import Json, container, pod

pytestmark = pytest.mark.root

# The first to come fails.
FAILS_ONCE = "echo try; mkdir /shared/tried && exit 3; exit 0"


def shared(directory: Path, script: str) -> Json:
    """A container that runs ``script`` with ``directory`` at /shared."""
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    volumes = [{"name": "shared", "hostPath": {"path": str(directory)}}]
    return pod("job", container("main", script, volumeMounts=mounts), volumes=volumes)


def template(whole: Json, restart_policy: str) -> Json:
    return {"spec": {**whole["spec"], "restartPolicy": restart_policy}}


def until_complete(cluster: Cluster, name: str) -> Json:
    """The status of the job once it is complete."""

    def status() -> Json:
        told: Json = cluster.json(cluster.batch.read_namespaced_job(name, NAMESPACE))["status"]
        return told

    return cluster.until(status, lambda told: "completionTime" in told, f"job {name} is complete", 90)


def test_a_job_runs_until_enough_pods_have_succeeded(cluster: Cluster, tmp_path: Path) -> None:
    made = template(shared(tmp_path, "echo done; touch /shared/$HOSTNAME"), "Never")
    name = cluster.create(job("completions", made, completions=5, parallelism=2))
    assert until_complete(cluster, name)["succeeded"] == 5
    pods = cluster.pods(name)
    assert [one["main"].state.exit_code for one in pods] == [0] * 5
    assert {one.name for one in pods} == {path.name for path in tmp_path.iterdir()}
    logs = {cluster.log(one.name) for one in pods}
    assert logs == {"done\n"}


def test_a_pod_that_fails_is_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.create(job("retried", template(shared(tmp_path, FAILS_ONCE), "Never"), backoffLimit=3))
    told = until_complete(cluster, name)
    assert (told["succeeded"], told["failed"]) == (1, 1)
    codes = sorted(one["main"].state.exit_code or 0 for one in cluster.pods(name))
    assert codes == [0, 3]


def test_a_container_that_fails_is_restarted_in_its_pod(cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.create(job("restarted", template(shared(tmp_path, FAILS_ONCE), "OnFailure")))
    assert until_complete(cluster, name)["succeeded"] == 1
    (seen,) = cluster.pods(name)
    assert seen["main"].restarts == 1
    assert seen["main"].state.exit_code == 0


def test_a_job_that_takes_too_long_is_ended(cluster: Cluster) -> None:
    name = cluster.create(job("endless", template(pod("endless"), "Never"), activeDeadlineSeconds=3))

    def failed() -> Json:
        conditions = cluster.json(cluster.batch.read_namespaced_job(name, NAMESPACE))["status"].get(
            "conditions"
        )
        return {one["type"]: one.get("reason") for one in conditions or []}

    told = cluster.until(failed, lambda told: "Failed" in told, "the job has failed")
    assert told["Failed"] == "DeadlineExceeded"
    cluster.until(lambda: cluster.pods(name), lambda pods: not pods, "its pod is gone")
