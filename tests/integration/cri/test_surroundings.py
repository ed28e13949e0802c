"""What programs get with them that the daemon and the monitor start: nothing of the daemon's own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from api.runtime.v1 import api_pb2 as pb
from tests.harness.client import container_config
from tests.harness.daemon import PLUGIN_DIRECTORIES, Daemon, Settings, Value
from tests.harness.runtimes import RUNTIMES, program
from tests.integration.cri.conftest import IMAGE, import_busybox, pod_config
from tests.integration.cri.test_user_namespaces import FOREVER

pytestmark = pytest.mark.root

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "leak-key",
    "HTTPS_PROXY": "http://user:leak-proxy@127.0.0.1:9",
    "NOTIFY_SOCKET": "@leak-notify",
    "LISTEN_FDS": "leak-fds",
    "LD_LIBRARY_PATH": "/leak-library",
    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
}
# Stands between the daemon and a program, and notes what the program is given.
RECORDER = """\
#!{python} -IS
import json, os, sys
fds = {{}}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[name] = os.readlink(f"/proc/self/fd/{{name}}")
    except FileNotFoundError:
        pass
umask = os.umask(0)
os.umask(umask)
seen = dict(argv=sys.argv, env=dict(os.environ), fds=[n for n in fds if fds[n] != __file__], umask=umask)
with open({record!r}, "a") as file:
    file.write(json.dumps(seen) + "\\n")
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


Seen = Mapping[str, list[dict[str, object]]]


def recorder(path: Path, program: str, record: Path) -> Path:
    python = os.path.realpath(sys.executable)
    path.write_text(RECORDER.format(python=python, record=str(record), program=program))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module", params=RUNTIMES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """By verb, the surroundings of each program while a pod lived."""
    handler = str(request.param)
    place = tmp_path_factory.mktemp("recorders")
    record = place / "record"
    wrapper = recorder(place / handler, program(handler), record)
    plugins = next(Path(each) for each in PLUGIN_DIRECTORIES if (Path(each) / "bridge").exists())
    for kind in ("bridge", "portmap", "loopback"):
        recorder(place / kind, str(plugins / kind), record)
    tables: dict[str, dict[str, Value]] = {
        f"crio.runtime.runtimes.{handler}": {"runtime_path": str(wrapper)},
        "crio.network": {"builtin_plugins": "never", "plugin_dirs": [str(place), str(plugins)]},
    }
    podwright = str(Path(sys.executable).parent / "podwright")
    careless = ["/bin/sh", "-c", 'exec "$0" "$@" 7</etc/passwd 9>/dev/null', podwright]
    daemon = Daemon(Settings(handler=handler, tables=tables), program=careless)
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(SECRETS["NOTIFY_SOCKET"].replace("@", "\0"))
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        import_busybox(daemon)
        daemon.start()
    try:
        _live(daemon)
    finally:
        forced = daemon.teardown()
    assert forced == []
    found: dict[str, list[dict[str, object]]] = {}
    for line in record.read_text().splitlines():
        one = json.loads(line)
        found.setdefault(_verb(one), []).append(one)
    return found


def _live(daemon: Daemon) -> None:
    client, pod = daemon.client, pod_config("surroundings", log_directory=daemon.state / "log/one")
    sandbox = client.run_pod(pod)
    container = client.create_container(sandbox, container_config("main", IMAGE, FOREVER), pod)
    client.start_container(container)
    shown = client.exec(container, "sh", "-c", "busybox env; ls /proc/self/fd /proc/1/fd")
    assert b"leak" not in shown.stdout
    resources = pb.LinuxContainerResources(memory_limit_in_bytes=64 << 20)
    client.runtime.UpdateContainerResources(
        pb.UpdateContainerResourcesRequest(container_id=container, linux=resources), timeout=60
    )
    terminal = container_config("terminal", IMAGE, FOREVER)
    terminal.tty = True
    client.start_container(client.create_container(sandbox, terminal, pod))
    checked = subprocess.run(daemon.command("check"), capture_output=True, timeout=120, check=False)
    assert checked.stdout
    client.remove_container(container)
    client.remove_all()


def _verb(one: Mapping[str, object]) -> str:
    argv, environment = one["argv"], one["env"]
    assert isinstance(argv, list)
    assert isinstance(environment, dict)
    if command := environment.get("CNI_COMMAND"):
        return f"{Path(argv[0]).name} {command}"
    words = [word for word in argv[1:] if not word.startswith("--") or word == "--version"]
    return str(words[0])


def test_every_verb_was_seen(seen: Seen) -> None:
    wanted = {"create", "start", "exec", "delete", "--version", "features", "bridge ADD", "bridge DEL"}
    assert wanted | {"portmap ADD", "portmap DEL"} <= set(seen)


def test_the_environment_is_the_path_and_what_the_program_needs(
    seen: Seen,
) -> None:
    for verb, calls in seen.items():
        for call in calls:
            environment = call["env"]
            assert isinstance(environment, dict)
            own = {name for name in environment if not name.startswith("CNI_")}
            assert own == {"PATH", "LC_ALL"}, (verb, environment)
            assert "leak" not in json.dumps(environment), verb


def test_there_is_no_descriptor_but_the_three(seen: Seen) -> None:
    for verb, calls in seen.items():
        for call in calls:
            assert isinstance(call["fds"], list)
            assert sorted(call["fds"]) == ["0", "1", "2"], verb


def test_the_umask_is_an_ordinary_one(seen: Seen) -> None:
    assert {call["umask"] for calls in seen.values() for call in calls} == {0o022}
