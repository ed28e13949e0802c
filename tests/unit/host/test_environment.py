"""What programs get of our environment, and that nobody hands on more."""

import ast
from pathlib import Path

from host.environment import DEFAULT_PATH, of_helpers

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("api", "conf", "host", "storage", "oci", "cni", "cri")
# Where it is read, each for itself: the home of credentials, proxies, sd_notify, the address of the bus, the
# state directory of a user, sockets of systemd's.
READERS = {
    "cni/nat.py",
    "cri/cli/check.py",
    "cri/cli/output.py",
    "cri/cli/serve.py",
    "cri/daemon.py",
    "host/processes.py",
    "host/system_bus.py",
    "oci/inside/main.py",
    "oci/monitor/main.py",
    "oci/monitor/upgrade.py",
    "oci/run/cli/entry.py",
    "oci/run/cli/main.py",
    "oci/run/verbs/create.py",
    "storage/registry/auth.py",
    "storage/registry/helpers.py",
    "storage/registry/http.py",
}
STARTERS = {
    "cri/cli/check.py": {"run"},
    "host/credentials.py": {"execve"},
    "host/spawn.py": {"posix_spawn"},
    "host/userns.py": {"posix_spawn"},
    "oci/inside/main.py": {"execve"},
    "oci/monitor/upgrade.py": {"execve"},
    "oci/run/cli/entry.py": {"execve"},
    "oci/run/hooks.py": {"posix_spawn"},
    "oci/run/verbs/listing.py": {"run"},
    "storage/trash.py": {"create_subprocess_exec"},
    "storage/unpacker.py": {"create_subprocess_exec"},
}


def test_only_the_path_is_handed_on() -> None:
    own = {
        "PATH": "/sbin",
        "HTTPS_PROXY": "http://me:secret@proxy",
        "NOTIFY_SOCKET": "/x",
        "LD_PRELOAD": "/y",
    }
    assert of_helpers(own) == {"PATH": "/sbin", "LC_ALL": "C.UTF-8"}


def test_without_a_path_there_is_the_usual_one() -> None:
    for own in ({}, {"PATH": ""}):
        assert of_helpers(own)["PATH"] == DEFAULT_PATH


def test_the_environment_is_read_in_few_places() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path, tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    }
    assert readers == READERS


def test_programs_are_started_in_few_places_which_all_say_the_environment() -> None:
    starters: dict[str, set[str]] = {}
    for path, tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (name := _starts(node)):
                starters.setdefault(str(path.relative_to(ROOT)), set()).add(name)
                said = name in ("posix_spawn", "execve") or "env" in {
                    keyword.arg for keyword in node.keywords
                }
                assert said, f"{path}:{node.lineno} hands on all of it"
    assert starters == STARTERS


def _starts(call: ast.Call) -> str:
    """The name of the called function if it starts a program."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return ""
    if isinstance(function.value, ast.Name) and function.value.id == "subprocess":
        return function.attr
    prefixes = ("posix_spawn", "create_subprocess", "spawnv", "execv", "execl")
    starts = function.attr in ("system", "popen") or function.attr.startswith(prefixes)
    return function.attr if starts else ""


def _sources() -> list[tuple[Path, ast.Module]]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return [(path, ast.parse(path.read_text())) for path in files if "runtime/v1" not in str(path)]
