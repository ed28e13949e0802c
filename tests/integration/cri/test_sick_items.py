"""One sick item of each kind lies in the state: the daemon starts, serves the others, and says so."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from api.runtime.v1 import api_pb2 as pb
from host.cgroups import Hierarchy
from tests.harness.client import container_config, eventually
from tests.harness.daemon import Daemon
from tests.harness.patience import patient
from tests.harness.processes import PROC, has_ended
from tests.integration.cri.conftest import CGROUP, IMAGE, import_busybox, pod_config

pytestmark = pytest.mark.root


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    Hierarchy.detect().create(CGROUP)
    with Daemon() as made:
        import_busybox(made)
        yield made
        made.client.remove_all()
    Hierarchy.detect().remove(CGROUP)


def program_that_hangs(directory: Path) -> Path:
    """However it is asked."""
    path = directory / "hangs"
    path.write_text("#!/bin/sh\nexec sleep 100000\n")
    path.chmod(0o755)
    return path


def run(daemon: Daemon, name: str) -> tuple[str, str]:
    """A pod and its container, which sleeps."""
    config = pod_config(name)
    pod = daemon.client.run_pod(config)
    command = ["sleep", "100000"]
    container = daemon.client.create_container(pod, container_config("main", IMAGE, command), config)
    daemon.client.start_container(container)
    return pod, container


def say(daemon: Daemon, verb: str) -> str:
    done = subprocess.run(
        daemon.command(verb), capture_output=True, text=True, timeout=patient(60), check=False
    )
    return done.stdout


def chattr(flag: str, path: Path) -> None:
    subprocess.run(["chattr", flag, str(path)], check=True, timeout=patient(10))


def test_a_handler_that_hangs_is_refused_by_name_and_the_default_serves(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.stop()
    (daemon.state / "conf.d/hangs.toml").write_text(
        f'[crio.runtime.runtimes.hangs]\nruntime_path = "{program_that_hangs(tmp_path)}"\n'
    )
    daemon.start()
    _, container = run(daemon, "well")
    assert daemon.client.exec(container, "echo", "alive").stdout == b"alive\n"
    with pytest.raises(grpc.RpcError) as refused:
        daemon.client.run_pod(pod_config("ill"), handler="hangs")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "runtime handler 'hangs'" in (refused.value.details() or "")
    assert "hangs" in say(daemon, "check")


def test_leftovers_that_cannot_be_removed_are_named_and_removed_once_they_can(daemon: Daemon) -> None:
    daemon.stop()
    root = daemon.state / "root"
    held = [
        root / "ingest/0011223344556677/diff/file",
        root / "layers" / ("ab" * 32) / "diff/file",
        root / "containers" / ("cd" * 32) / "upper/file",
    ]
    for path in held:
        path.parent.mkdir(parents=True)
        path.write_text("x")
        chattr("+i", path)
    try:
        daemon.start()
        report, running = say(daemon, "check"), say(daemon, "ops")
        for path in held:
            leftover = str(path.parent.parent)
            assert leftover in report
            assert leftover in running
        run(daemon, "well")
    finally:
        for path in held:
            chattr("-i", path)
    eventually(
        lambda: [path for path in held if path.exists()], lambda left: not left, "they are removed", 120
    )


def test_an_immutable_file_of_a_container_is_named_and_the_removal_repeated(daemon: Daemon) -> None:
    pod, container = run(daemon, "held")
    path = daemon.state / "root/containers" / container / "upper/held"
    path.write_text("x")
    chattr("+i", path)
    try:
        with pytest.raises(grpc.RpcError) as refused:
            daemon.client.remove_pod(pod)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "chattr -i" in (refused.value.details() or "")
        assert "Traceback" not in daemon.log()
    finally:
        chattr("-i", path)
    daemon.client.remove_pod(pod)
    assert daemon.client.containers() == []


def test_records_that_cannot_be_read_are_left_alone_and_the_others_listed(daemon: Daemon) -> None:
    (_, well), (ill_pod, ill) = run(daemon, "well"), run(daemon, "ill")
    (_, odd), (_, strange) = run(daemon, "odd"), run(daemon, "strange")
    pids = {one: daemon.client.pid_of(one) for one in (ill, odd, strange)}
    daemon.kill()
    database = sqlite3.connect(daemon.runroot / "records.sqlite", isolation_level=None)
    kept = database.execute("SELECT kind, id, name, config, state FROM records").fetchall()
    database.execute("UPDATE records SET state = '{' WHERE id = ?", (ill,))
    database.execute("UPDATE records SET config = x'ffffffff' WHERE id = ?", (ill_pod,))
    database.execute("UPDATE records SET state = json_set(state, '$.cgroup_path', '/') WHERE id = ?", (odd,))
    database.execute("UPDATE records SET config = x'0a03ff0a' WHERE id = ?", (strange,))
    daemon.start()
    assert [one.id for one in daemon.client.containers()] == [well]
    assert ill_pod not in [one.id for one in daemon.client.pods()]
    assert daemon.client.exec(well, "echo", "alive").stdout == b"alive\n"
    for identifier, pid in pids.items():
        assert not has_ended(pid), "nothing is done to what is not understood"
        assert identifier in say(daemon, "check")
    info = daemon.client.runtime.Status(pb.StatusRequest(verbose=True), timeout=patient(10)).info
    subjects = [trouble["subject"] for trouble in json.loads(info["troubles"])]
    assert f"record of sandbox {ill_pod}" in subjects
    daemon.kill()
    database.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", kept)
    database.close()
    daemon.start()
    assert {one.id for one in daemon.client.containers()} == {well, ill, odd, strange}
    assert daemon.client.exec(ill, "echo", "alive").stdout == b"alive\n"


@pytest.mark.parametrize("file", ["registries.conf", "net.d/10-bridge.conflist", "net.d/05-bad.conflist"])
def test_a_file_that_cannot_be_read_does_not_keep_what_runs_from_being_served(
    daemon: Daemon, file: str
) -> None:
    _, container = run(daemon, "well")
    daemon.kill()
    path = daemon.state / file
    before = path.read_text() if path.exists() else None
    path.write_text("{ no sense")
    daemon.launch()
    eventually(
        lambda: exec_or_error(daemon, container), lambda found: found == "alive\n", "the container is served"
    )
    assert file.rpartition("/")[2] in say(daemon, "check")
    if before is None:
        path.unlink()
    else:
        path.write_text(before)
    daemon.wait_ready()


def exec_or_error(daemon: Daemon, container: str) -> str:
    try:
        return daemon.client.exec(container, "echo", "alive").stdout.decode()
    except grpc.RpcError as error:
        return str(error)


@pytest.mark.parametrize("damage", ["emptied", "cut", "overwritten", "a directory"])
def test_a_damaged_database_costs_no_running_container_its_files_and_no_image_its_names(
    daemon: Daemon, damage: str
) -> None:
    _, container = run(daemon, "well")
    images = listed(daemon)
    pid = daemon.client.pid_of(container)
    root = PROC / f"{pid}/root"
    daemon.stop()
    spoil(daemon.state / "root/catalogue.db", damage)
    for _ in range(2):
        daemon.start()
        assert daemon.client.exec(container, "ls", "/bin/busybox").stdout == b"/bin/busybox\n"
        assert listed(daemon) == images
        assert not (daemon.state / "root/keep-unknown").exists()
        assert "catalogue of images" not in say(daemon, "check")
        daemon.stop()
    if damage == "emptied":
        daemon.start()
        return  # without records nobody knows what runs, and the kubelet begins anew
    spoil(daemon.runroot / "records.sqlite", damage)
    for _ in range(2):
        daemon.start()
        assert "records" in say(daemon, "check")
        daemon.stop()
    assert (root / "bin/busybox").exists()
    end_by_hand(daemon, pid)


def test_what_no_catalogue_can_name_again_stays_and_check_names_it(daemon: Daemon) -> None:
    _, container = run(daemon, "well")
    root = daemon.state / "root"
    daemon.stop()
    spoil(root / "catalogue.db", "overwritten")
    [saved] = (root / "images").iterdir()
    spoil(saved, "overwritten")
    (root / "containers" / container / "rootfs.saved").unlink()
    layers = {path.name for path in (root / "layers").iterdir()}
    for _ in range(2):
        daemon.start()
        assert listed(daemon) == []
        assert daemon.client.exec(container, "ls", "/bin/busybox").stdout == b"/bin/busybox\n"
        assert {path.name.partition(".")[0] for path in (root / "quarantine").iterdir()} == layers
        told = say(daemon, "check")
        names = [f"images/{saved.name}", f"containers/{container}", f"quarantine/{min(layers)}"]
        assert [name for name in names if name not in told] == []
        daemon.stop()
    daemon.start()
    import_busybox(daemon)
    run(daemon, "again")
    daemon.client.remove_all()
    daemon.stop()
    (root / "keep-unknown").unlink()
    daemon.start()
    assert sorted((root / "quarantine").iterdir()) == sorted((root / "containers").iterdir()) == []


def test_an_image_that_lost_a_layer_is_dropped_and_pulled_again(daemon: Daemon) -> None:
    layers = daemon.state / "root/layers"
    before = listed(daemon)
    for turn, lose in enumerate((remove_layer, unmark)):
        _, container = run(daemon, f"before-{turn}")
        daemon.stop()
        for layer in layers.iterdir():
            lose(layer)
        daemon.start()
        assert listed(daemon) == []
        import_busybox(daemon)
        assert listed(daemon) == before
        _, after = run(daemon, f"after-{turn}")
        assert daemon.client.exec(after, "echo", "alive").stdout == b"alive\n"
    # What was there under it has been set aside, not removed.
    assert daemon.client.exec(container, "echo", "alive").stdout == b"alive\n"
    for layer in layers.iterdir():
        shutil.rmtree(layer)
    with pytest.raises(grpc.RpcError) as caught:
        run(daemon, "later")
    assert "pull the image again" in str(caught.value)
    assert listed(daemon) == []
    import_busybox(daemon)
    run(daemon, "pulled")


def remove_layer(layer: Path) -> None:
    shutil.rmtree(layer)


def unmark(layer: Path) -> None:
    (layer / "layer.json").write_text("")


def listed(daemon: Daemon) -> list[tuple[str, list[str], list[str]]]:
    images = daemon.client.image.ListImages(pb.ListImagesRequest()).images
    return [(image.id, [*image.repo_tags], [*image.repo_digests]) for image in images]


def spoil(path: Path, damage: str) -> None:
    if damage == "a directory":
        path.unlink()
        path.mkdir()
        return
    data = {"emptied": b"", "cut": path.read_bytes()[:5000], "overwritten": b"\xaa" * 8192}[damage]
    path.write_bytes(data)


def end_by_hand(daemon: Daemon, pid: int) -> None:
    """What the advice says; the daemon then begins without knowledge of it."""
    os.kill(pid, signal.SIGKILL)
    for path in daemon.runroot.glob("damaged-*-records.sqlite"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    daemon.start()
