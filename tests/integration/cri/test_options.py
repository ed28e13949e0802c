"""A daemon whose configuration is not the default one, and one whose configuration changes while it runs."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon, Settings
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root

HANDLER = "crio.runtime.runtimes.crun"
STEERING = "run.oci.keep_original_groups"


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("options") / "namespaces"


@pytest.fixture(scope="module")
def other(namespaces: Path) -> Iterator[Daemon]:
    """With options of its own, beside the daemon of the other tests."""
    socket = namespaces.parent / "metrics.sock"
    profile = namespaces.parent / "profile.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}))
    tables = {
        "crio.runtime": {"namespaces_dir": str(namespaces), "ctr_stop_timeout": "40s"},
        HANDLER: {
            "allowed_annotations": [STEERING],
            "privileged_without_host_devices": True,
            "seccomp_profile": str(profile),
        },
        "crio.metrics": {"enable_metrics": True, "metrics_port": 0, "metrics_socket": str(socket)},
    }
    daemon = Daemon(Settings(bridge="pw-test1", subnet="10.89.0.0/16", tables=tables))  # type: ignore[arg-type]
    drop_in = f'[{HANDLER}]\ndefault_annotations = {{ "example.org/node" = "yes" }}\n'
    (daemon.state / "conf.d/10-annotations.conf").write_text(drop_in)
    import_busybox(daemon)
    daemon.start()
    Hierarchy.detect().create(CGROUP)
    yield daemon
    forced = daemon.teardown()
    Hierarchy.detect().remove(CGROUP)
    assert forced == []


def create(daemon: Daemon, name: str, logs: Path) -> tuple[str, str]:
    config = pod_config(name, log_directory=logs)
    pod = daemon.client.run_pod(config)
    wanted = container_config("main", IMAGE, ["sleep", "1000"])
    wanted.annotations.update({STEERING: "1", "org.systemd.property.X": "1", "example.org/own": "1"})
    security = wanted.linux.security_context
    security.seccomp.profile_type = pb.SecurityProfile.RuntimeDefault
    return pod, daemon.client.create_container(pod, wanted, config)


def test_namespaces_lie_where_the_option_says(other: Daemon, namespaces: Path, logs: Path) -> None:
    pod, _ = create(other, "placed", logs)
    assert {path.name for path in (namespaces / pod).iterdir()} == {"net", "uts", "ipc"}
    assert not (other.runroot / "sandboxes" / pod / "ns").exists()
    other.client.remove_pod(pod)
    assert list(namespaces.iterdir()) == []


def test_namespaces_that_no_record_knows_are_removed_with_their_pod(
    other: Daemon, namespaces: Path, logs: Path
) -> None:
    pod, container = create(other, "half", logs)
    other.client.remove_container(container)
    other.kill()
    # As it is when the daemon is killed right after it pinned them.
    with contextlib.closing(sqlite3.connect(other.runroot / "records.sqlite")) as database, database:
        ((text,),) = database.execute("SELECT state FROM records WHERE id = ?", (pod,))
        state = json.loads(text) | {"phase": "creating", "namespaces": {}}
        database.execute("UPDATE records SET state = ? WHERE id = ?", (json.dumps(state), pod))
    other.start()
    assert pod not in {one.id for one in other.client.pods()}
    assert list(namespaces.iterdir()) == []
    assert not (other.runroot / "sandboxes" / pod).exists()


def test_a_handlers_table_decides_over_annotations_and_the_default_profile(other: Daemon, logs: Path) -> None:
    pod, container = create(other, "table", logs)
    document = json.loads((other.runroot / "containers" / container / "config.json").read_bytes())
    annotations = document["annotations"]
    assert annotations["example.org/node"] == "yes"
    assert annotations[STEERING] == "1"
    assert annotations.keys().isdisjoint({"org.systemd.property.X", "example.org/own"})
    assert document["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    other.client.remove_pod(pod)


def test_metrics_are_served(other: Daemon, namespaces: Path, logs: Path) -> None:
    pod, _ = create(other, "measured", logs)
    other.client.remove_pod(pod)
    port = other.told("serving metrics on 127.0.0.1 port ")[-1].rpartition(" ")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert re.search(
        r'^container_runtime_crio_operations_total\{operation="RunPodSandbox"\} [1-9]', text, re.M
    )
    assert 'container_runtime_crio_default_runtime{runtime="crun"} 1.0' in text
    assert (namespaces.parent / "metrics.sock").is_socket()


def reload(daemon: Daemon, **tables: object) -> str:
    """Change the configuration, send SIGHUP, and wait for what the log says to it."""
    (daemon.state / "conf.d/90-changed.conf").write_text(
        "".join(f"[{name.replace('_', '.')}]\n{lines}\n" for name, lines in tables.items())
    )
    begin = len(daemon.log())
    os.kill(daemon.pid, signal.SIGHUP)
    found = re.compile(r"(reloaded changed=|reload refused).*(\n.*restart is needed.*)?")
    return eventually(
        lambda: daemon.log()[begin:], lambda text: bool(found.search(text)), "the reload is told"
    )


def pinned(daemon: Daemon) -> bool:
    request = pb.ImageStatusRequest(image=pb.ImageSpec(image=IMAGE))
    return daemon.client.image.ImageStatus(request).image.pinned


def test_a_hangup_applies_what_may_change_and_names_what_waits(other: Daemon) -> None:
    assert not pinned(other)
    told = reload(other, crio_image=f'pinned_images = ["{IMAGE}"]', crio_api='stream_address = "127.0.0.2"')
    assert "reloaded changed=crio.image.pinned_images\n" in told
    assert pinned(other)
    again = reload(other, crio_image=f'pinned_images = ["{IMAGE}"]', crio_runtime="no_pivot = true")
    assert "reloaded changed=nothing" in again
    assert "changed=crio.runtime.no_pivot" in eventually(other.log, lambda text: "no_pivot" in text, "named")
    back = reload(other)
    assert "crio.image.pinned_images" in back
    assert not pinned(other)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({"crio_runtime": "log_levle = 1"}, "log_levle"),
        ({"crio_runtime": 'seccomp_profile = "/no/such.json"'}, "/no/such.json"),
        ({"crio_runtime_runtimes_crun": 'runtime_path = "/no/such/crun"'}, "no program '/no/such/crun'"),
    ],
)
def test_a_reload_is_all_or_nothing(other: Daemon, tables: dict[str, str], reason: str) -> None:
    told = reload(other, crio_image=f'pinned_images = ["{IMAGE}"]', **tables)
    assert "reload refused" in told
    assert other.told(reason)
    assert not pinned(other)
    assert "reloaded changed=nothing" in reload(other)


def test_pods_keep_their_runtime_when_the_default_changes(other: Daemon, logs: Path) -> None:
    config = pod_config("kept", log_directory=logs)
    config.linux.security_context.namespace_options.pid = pb.POD  # has a pause process
    pod = other.client.run_pod(config)
    container = other.client.create_container(pod, container_config("main", IMAGE, ["sleep", "1000"]), config)
    other.client.start_container(container)
    states = other.runroot / "runtimes/crun"
    assert {path.name for path in states.iterdir()} >= {pod, container}
    change = other.state / "conf.d/95-default.conf"
    change.write_text('[crio.runtime]\ndefault_runtime = "runc"\n')
    other.restart()
    assert other.client.exec(container, "true").exit_code == 0
    other.client.remove_pod(pod)
    assert {path.name for path in states.iterdir()}.isdisjoint({pod, container})
    change.unlink()
    other.restart()
