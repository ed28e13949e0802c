"""podwright-oci from create to delete, by its command line."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.patience import patient
from tests.integration.oci.run.conftest import CGROUP_PARENT, Bundles, cgroup_directories

pytestmark = pytest.mark.root


def wait_for_status(bundles: Bundles, name: str, status: str) -> None:
    deadline = time.monotonic() + patient(20)
    while bundles.state(name)["status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_states_follow_the_verbs(bundles: Bundles, tmp_path: Path) -> None:
    document = bundles.document("/bin/sleep", "600")
    document["annotations"] = {"a": "b"}
    pid_file = tmp_path / "pid"
    name = bundles.create(document, "--pid-file", str(pid_file))
    state = bundles.state(name)
    pid = int(pid_file.read_bytes())
    assert (state["status"], state["pid"], state["id"]) == ("created", pid, name)
    assert (state["bundle"], state["annotations"]) == (bundles.bundle(name), {"a": "b"})
    bundles.ok("start", name)
    assert bundles.state(name)["status"] == "running"
    assert processes.read(pid, "comm") == "sleep\n"
    bundles.ok("pause", name)
    assert bundles.state(name)["status"] == "paused"
    bundles.ok("resume", name)
    assert json.loads(bundles.ok("ps", "--format", "json", name)) == [pid]
    assert [one["id"] for one in json.loads(bundles.ok("list", "--format", "json"))] == [name]
    bundles.ok("kill", name, "KILL")
    wait_for_status(bundles, name, "stopped")
    bundles.ok("delete", name)
    assert bundles.call("state", name).returncode == 1
    assert cgroup_directories(f"{CGROUP_PARENT}/{name}") == []


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("start",), "already running container"),
        (("delete",), "that is not stopped: running"),
        (("resume",), "container not paused"),
    ],
)
def test_a_running_container_refuses(bundles: Bundles, verb: tuple[str, ...], words: str) -> None:
    name = bundles.started(bundles.document("/bin/sleep", "600"))
    done = bundles.call(*verb, name)
    assert done.returncode == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (("start",), "cannot start a container that has stopped"),
        (("kill",), "container not running"),
        (("pause",), "container not running"),
        (("exec",), "container not running"),
        (("update", "--pids-limit", "5"), "container not running"),
    ],
)
def test_a_stopped_container_refuses(bundles: Bundles, verb: tuple[str, ...], words: str) -> None:
    name = bundles.started(bundles.document("/bin/true"))
    wait_for_status(bundles, name, "stopped")
    done = bundles.call(*verb, name, *(["/bin/true"] if verb == ("exec",) else []))
    assert done.returncode in (1, 255)
    assert words in done.stderr


@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete", "pause", "resume", "ps"])
def test_what_nobody_made_does_not_exist(bundles: Bundles, verb: str) -> None:
    done = bundles.call(verb, "nothing")
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    bundles.ok("delete", "--force", "nothing")


def test_an_id_is_taken_once(bundles: Bundles) -> None:
    name = bundles.create(bundles.document("/bin/sleep", "600"))
    done = bundles.call("create", "--bundle", bundles.bundle(name), name)
    assert (done.returncode, "already exists" in done.stderr) == (1, True)
    assert bundles.state(name)["status"] == "created"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a b", "x" * 1100, "ä"])
def test_an_id_is_a_plain_name(bundles: Bundles, name: str) -> None:
    made = bundles.make(bundles.document("/bin/true"))
    assert bundles.call("create", "--bundle", bundles.bundle(made), name).returncode == 1


def test_the_configuration_counts_as_it_was_at_create(bundles: Bundles) -> None:
    name = bundles.create(bundles.document("/bin/sleep", "600"))
    (Path(bundles.bundle(name)) / "config.json").write_text("{}")
    bundles.ok("start", name)
    assert "hello" in bundles.ok("exec", name, "/bin/echo", "hello")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"args": ["/bin/no-such"]}, 'exec: "/bin/no-such": stat /bin/no-such: no such file or directory'),
        ({"args": ["no-such"]}, 'exec: "no-such": executable file not found in $PATH'),
        ({"args": ["/etc"]}, "is a directory"),
        ({"cwd": "relative"}, "Cwd must be an absolute path"),
        ({"args": []}, "args must not be empty"),
        ({"rlimits": [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]}, "invalid rlimit"),
    ],
)
def test_a_create_that_cannot_be_leaves_nothing(
    bundles: Bundles, change: dict[str, object], words: str
) -> None:
    document = bundles.document("/bin/true")
    document["process"].update(change)
    name = bundles.make(document)
    log = Path(bundles.bundle(name)) / "log"
    done = bundles.call(
        "--log", str(log), "--log-format", "json", "create", "--bundle", bundles.bundle(name), name
    )
    assert done.returncode == 1
    assert words in done.stderr
    entry = json.loads(log.read_text().splitlines()[-1])
    assert entry["level"] == "error"
    assert words in entry["msg"]
    assert not (bundles.root / name).exists()
    assert cgroup_directories(f"{CGROUP_PARENT}/{name}") == []


def test_a_program_that_the_kernel_refuses_fails_the_start(bundles: Bundles, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    document = bundles.document("/tmp/program")
    document["mounts"].append(
        {"destination": "/tmp/program", "type": "bind", "source": str(program), "options": ["bind"]}
    )
    name = bundles.create(document)
    done = bundles.call("start", name)
    assert (done.returncode, "no such file or directory" in done.stderr) == (1, True)


def test_signals_reach_a_foreground_container_and_codes_come_back(bundles: Bundles) -> None:
    assert bundles.run(bundles.document("/bin/sh", "-c", "exit 7")).returncode == 7
    assert bundles.run(bundles.document("/bin/sh", "-c", "kill -9 $$")).returncode in (0, 137)


def test_kill_of_a_container_in_the_hosts_pid_namespace_ends_all_of_it(bundles: Bundles) -> None:
    script = "sleep 600 & sleep 601 & wait"
    document = bundles.document("/bin/sh", "-c", script, namespaces=("ipc", "uts", "mount", "network"))
    name = bundles.started(document)
    deadline = time.monotonic() + patient(20)
    while len(json.loads(bundles.ok("ps", "-f", "json", name))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = json.loads(bundles.ok("ps", "-f", "json", name))
    bundles.ok("kill", name, "KILL")
    while any(not processes.has_ended(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_exec_has_its_own_process_object_and_exit_code(bundles: Bundles, tmp_path: Path) -> None:
    name = bundles.started(bundles.document("/bin/sleep", "600"))
    process = {
        **bundles.document("/bin/sh", "-c", "id -u; id -G; echo $X; echo $HOME; pwd; umask; exit 3")[
            "process"
        ],
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [7, 8], "umask": 0o77},
        "env": ["PATH=/bin", "X=1", "X=2"],
        "cwd": "/tmp",
    }
    file = tmp_path / "process"
    file.write_text(json.dumps(process))
    done = bundles.call("exec", "--process", str(file), name)
    assert done.returncode == 3, done.stderr
    assert done.stdout.split("\n") == ["1000", "1001 7 8", "2", "/", "/tmp", "0077", ""]
    assert bundles.ok(
        "exec", "--user", "5:6", "--env", "Y=z", "--cwd", "/bin", name, "sh", "-c", "id -u;id -g;echo $Y;pwd"
    ) == ("5\n6\nz\n/bin\n")
    assert bundles.call("exec", name, "no-such").returncode == 255


def test_a_detached_exec_has_a_pid_file_only_if_it_runs(bundles: Bundles, tmp_path: Path) -> None:
    name = bundles.started(bundles.document("/bin/sleep", "600"))
    pid_file = tmp_path / "pid"
    assert bundles.call("exec", "-d", "--pid-file", str(pid_file), name, "/no/such").returncode == 255
    assert not pid_file.exists()
    bundles.ok("exec", "-d", "--pid-file", str(pid_file), name, "/bin/sleep", "601")
    pid = int(pid_file.read_text())
    assert processes.read_bytes(pid, "cmdline") == b"/bin/sleep\x00601\x00"
    os.kill(pid, signal.SIGKILL)


def test_exec_waits_for_no_frozen_container(bundles: Bundles) -> None:
    name = bundles.started(bundles.document("/bin/sleep", "600"))
    bundles.ok("pause", name)
    done = bundles.call("exec", name, "/bin/true")
    assert (done.returncode, "paused" in done.stderr) == (255, True)
    bundles.ok("resume", name)


def test_preserved_descriptors_and_no_others_are_open(bundles: Bundles, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept\n")
    document = bundles.document("/bin/sh", "-c", "cat <&3; echo /proc/self/fd/*")
    name = bundles.make(document)
    # A shell has 3 and, beside it, 7, which it hands to what it starts.
    script = f'exec 3<{tmp_path}/kept 7<{tmp_path}/kept; exec "$@"'
    command = [bundles.program, "--root", str(bundles.root), "run", "--preserve-fds", "1"]
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command, "--bundle", bundles.bundle(name), name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept, listed = done.stdout.splitlines()
    assert kept == "kept"
    # One more is that by which the directory is read.
    assert {Path(word).name for word in listed.split()} - {"4"} == {"0", "1", "2", "3"}


def test_what_a_killed_create_left_is_deleted_by_force(bundles: Bundles) -> None:
    name = bundles.make(bundles.document("/bin/true"))
    (bundles.root / name).mkdir(parents=True)
    assert "does not exist" in bundles.call("state", name).stderr
    bundles.ok("delete", "--force", name)
    assert not (bundles.root / name).exists()


def test_a_descriptor_that_is_not_open_cannot_be_preserved(bundles: Bundles) -> None:
    """And none of the runtime's own is handed on in its place."""
    document = bundles.document("/bin/sh", "-c", "echo /proc/self/fd/*")
    done = bundles.run(document, "--preserve-fds", "2")
    assert (done.returncode, "preserved-fd 3" in done.stderr) == (1, True)
    name = bundles.started(bundles.document("/bin/sleep", "600"))
    done = bundles.call("exec", "--preserve-fds", "1", name, "/bin/true")
    assert (done.returncode, "preserved-fd 3" in done.stderr) == (255, True)
