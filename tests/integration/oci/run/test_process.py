"""What the process of a container is and may (config.md, process; config-linux.md)."""

import array
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from host.pty import ConsoleSocket
from tests.harness.patience import patient
from tests.integration.oci.run.conftest import Bundles

pytestmark = pytest.mark.root

STATUS = ("/bin/cat", "/proc/self/status")


def fields(text: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def test_identity_groups_umask_and_environment(bundles: Bundles) -> None:
    document = bundles.document("/bin/sh", "-c", "id -u; id -g; id -G; umask; echo $HOME; echo $A; pwd")
    document["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [1002, 3], "umask": 0o27}
    document["process"]["env"] = ["PATH=/bin", "A=1", "A=2", "HOME="]
    document["process"]["cwd"] = "/tmp/new/directory"
    assert bundles.output(document).split("\n") == [
        "1000",
        "1001",
        "1001 3 1002",
        "0027",
        "/",
        "2",
        "/tmp/new/directory",
        "",
    ]


def test_capabilities_are_those_named(bundles: Bundles) -> None:
    document = bundles.document(*STATUS)
    document["process"]["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NOT_YET_KNOWN"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    document["process"]["user"] = {"uid": 5, "gid": 5}
    status = fields(bundles.output(document))
    assert [int(status[f"Cap{name}"], 16) for name in ("Bnd", "Prm", "Eff", "Inh", "Amb")] == [
        0b100001,
        0b100000,  # what is not ambient does not outlive the execution by somebody who is not root
        0b100000,
        0b100000,
        0b100000,
    ]


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privileges(bundles: Bundles, wanted: bool) -> None:
    document = bundles.document(*STATUS)
    document["process"]["noNewPrivileges"] = wanted
    assert fields(bundles.output(document))["NoNewPrivs"] == str(int(wanted))


def test_limits_and_oom_score(bundles: Bundles) -> None:
    document = bundles.document("/bin/sh", "-c", "cat /proc/self/limits /proc/self/oom_score_adj")
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    document["process"]["oomScoreAdj"] = 500
    text = bundles.output(document)
    (line,) = [line for line in text.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == ["100", "200"]
    assert text.splitlines()[-1] == "500"


def test_scheduler_and_io_priority(bundles: Bundles) -> None:
    document = bundles.document("/bin/cat", "/proc/self/stat")
    document["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    document["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    stat = bundles.output(document).rpartition(")")[2].split()
    assert (stat[16], stat[38]) == ("5", "3")


def test_personality_is_that_of_the_domain(bundles: Bundles) -> None:
    document = bundles.document("/bin/cat", "/proc/self/personality")
    document["linux"]["personality"] = {"domain": "LINUX32"}
    assert bundles.output(document) == "00000008\n"


@pytest.mark.parametrize("nnp", [True, False])
def test_a_filter_refuses_what_it_names(bundles: Bundles, nnp: bool) -> None:
    document = bundles.document("/bin/sh", "-c", "/bin/busybox mkdir /tmp/x; cat /proc/self/status")
    document["process"]["noNewPrivileges"] = nnp
    document["process"]["user"] = {"uid": 1000, "gid": 1000}
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 85}],
    }
    done = bundles.run(document)
    assert "should be restarted" in done.stderr  # errno 85
    assert fields(done.stdout)["Seccomp"] == "2"


def test_a_new_system_call_is_unknown_to_a_profile_that_lists_older_ones(bundles: Bundles) -> None:
    from conf.seccomp import default_profile
    from oci.generate.seccomp import convert

    document = bundles.document("/bin/cat", "/proc/self/status")
    document["linux"]["seccomp"] = convert(default_profile(), [], os.uname().machine, "default")
    assert fields(bundles.output(document))["Seccomp"] == "2"
    assert len(list((bundles.root / ".cache/seccomp").iterdir())) == 1


def test_the_listener_of_a_filter_is_sent_to_who_asked(bundles: Bundles, tmp_path: Path) -> None:
    document = bundles.document("/bin/true")
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(tmp_path / "listener"),
        "listenerMetadata": "what I said",
        "syscalls": [{"names": ["mount_setattr"], "action": "SCMP_ACT_NOTIFY"}],
    }
    received: list[tuple[bytes, list[int]]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "listener"))
        listener.listen()
        listener.settimeout(patient(30))

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                message, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(16))
                received.append((message, list(array.array("i", ancillary[0][2]))))

        thread = threading.Thread(target=accept)
        thread.start()
        bundles.output(document)
        thread.join()
    ((message, descriptors),) = received
    assert str(Path(f"/proc/self/fd/{descriptors[0]}").readlink()) == "anon_inode:seccomp notify"
    os.close(descriptors[0])
    told = json.loads(message)
    assert (told["metadata"], told["fds"], told["state"]["status"]) == (
        "what I said",
        ["seccompFd"],
        "creating",
    )


def test_a_terminal_goes_to_the_console_socket(bundles: Bundles, tmp_path: Path) -> None:
    document = bundles.document("/bin/sh", "-c", "tty; stty size; read x; echo got $x")
    document["process"]["terminal"] = True
    document["process"]["consoleSize"] = {"width": 100, "height": 30}
    document["process"]["user"] = {"uid": 1000, "gid": 0}
    with ConsoleSocket(str(tmp_path / "console")) as console:
        name = bundles.create(document, "--console-socket", str(tmp_path / "console"))
        master = console.receive(patient(5))
    try:
        bundles.ok("start", name)
        os.write(master, b"word\n")
        text = b""
        while b"got word" not in text:
            text += os.read(master, 4096)
        assert b"/dev/pts/0" in text
        assert b"30 100" in text
    finally:
        os.close(master)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_and_a_console_socket_belong_together(bundles: Bundles, terminal: bool) -> None:
    document = bundles.document("/bin/true")
    document["process"]["terminal"] = terminal
    name = bundles.make(document)
    words = () if terminal else ("--console-socket", "/nowhere")
    done = bundles.call("create", "--bundle", bundles.bundle(name), *words, name)
    assert (done.returncode, "tty" in done.stderr) == (1, True)


def test_hooks_run_in_their_order_with_the_state(bundles: Bundles, tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text("")
    document = bundles.document("/bin/true")
    document["mounts"].append(
        {"destination": "/tmp/record", "type": "bind", "source": str(record), "options": ["bind"]}
    )

    def hook(point: str, path: str = str(record)) -> list[dict[str, object]]:
        script = f'read s; echo "{point} $X $s" >> {path}'
        return [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["X=1"], "timeout": 50}]

    points = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    document["hooks"] = {point: hook(point) for point in points}
    document["hooks"]["startContainer"] = hook("startContainer", "/tmp/record")
    bundles.output(document)
    lines = [line.split(" ", 2) for line in record.read_text().splitlines()]
    assert [line[0] for line in lines] == [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ]
    assert {line[1] for line in lines} == {"1"}
    states = [json.loads(line[2]) for line in lines]
    assert [state["status"] for state in states] == [
        "creating",
        "creating",
        "created",
        "created",
        "running",
        "stopped",
    ]


@pytest.mark.parametrize(
    "point", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_a_hook_that_fails_ends_the_container(bundles: Bundles, point: str) -> None:
    document = bundles.document("/bin/sleep", "600")
    document["hooks"] = {point: [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]}
    name = bundles.make(document)
    done = bundles.call("create", "--bundle", bundles.bundle(name), name)
    if point in ("startContainer", "poststart"):
        assert done.returncode == 0, done.stderr
        done = bundles.call("start", name)
    assert done.returncode == 1
    assert f"error running {point} hook #0: exit status 3" in done.stderr
    assert "why" in done.stderr


def test_a_hook_that_takes_too_long_is_killed(bundles: Bundles) -> None:
    document = bundles.document("/bin/true")
    document["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "600"], "timeout": 1}]}
    done = bundles.run(document)
    assert (done.returncode, "ran past specified timeout" in done.stderr) == (1, True)
