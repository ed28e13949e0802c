"""What handlers are found and what is said of them, with programs that stand for runtimes."""

import json
from pathlib import Path

import pytest

from conf.schema import Config, RuntimeHandler, RuntimeTable
from cri.handlers import Handlers, HandlersLost, HandlerUnusable, NoUserNamespaces, UnknownHandler
from oci.cli import CliRuntime
from oci.generate.inputs import HostView

ABLE = {"mountOptions": ["rro"], "linux": {"namespaces": ["user"]}}
KERNEL, OLD_KERNEL = HostView(), HostView(kernel_recursive_readonly=False, kernel_idmapped_mounts=False)


def runtime(directory: Path, name: str, document: object) -> CliRuntime:
    """A program that prints ``document`` whatever it is asked."""
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{json.dumps(document)}'\n")
    program.chmod(0o755)
    return CliRuntime.find(name, str(program), directory)


@pytest.fixture
async def handlers(tmp_path: Path) -> Handlers:
    programs = {
        "able": runtime(tmp_path, "able", ABLE),
        "modest": runtime(tmp_path, "modest", {}),
        "gvisor": runtime(tmp_path, "runsc", ABLE),
    }
    found = Handlers(programs, "able")
    await found.probe()
    return found


def test_the_default_is_listed_under_no_name_too(handlers: Handlers) -> None:
    found = {
        message.name: (message.features.user_namespaces, message.features.recursive_read_only_mounts)
        for message in handlers.messages(KERNEL)
    }
    assert found == {
        "": (True, True),
        "able": (True, True),
        "modest": (False, True),  # what it cannot freeze, the daemon does
        "gvisor": (False, False),
    }


def test_an_old_kernel_takes_all_of_it_away(handlers: Handlers) -> None:
    for message in handlers.messages(OLD_KERNEL):
        assert not message.features.user_namespaces
        assert not message.features.recursive_read_only_mounts


def test_a_missing_default_is_not_listed(tmp_path: Path) -> None:
    handlers = Handlers({"able": runtime(tmp_path, "able", ABLE)}, "missing")
    assert [message.name for message in handlers.messages(KERNEL)] == ["able"]


def test_pods_with_user_namespaces_are_refused_by_name_and_reason(handlers: Handlers) -> None:
    handlers.require_user_namespaces("", KERNEL)
    with pytest.raises(NoUserNamespaces, match="handler 'modest' this node's runtime cannot"):
        handlers.require_user_namespaces("modest", KERNEL)
    with pytest.raises(NoUserNamespaces, match="handler 'able' this node's kernel"):
        handlers.require_user_namespaces("", OLD_KERNEL)
    with pytest.raises(UnknownHandler, match="nobody"):
        handlers.require_user_namespaces("nobody", KERNEL)


def test_spec_generation_learns_what_the_runtime_cannot(handlers: Handlers) -> None:
    assert handlers.view("able").recursive_readonly
    assert not handlers.view("able").idmapped_mounts
    assert not handlers.view("modest").recursive_readonly
    assert handlers.view("gvisor").is_vm


def found(state: Path, default: str = "", **paths: Path) -> Handlers:
    """The handlers of a configuration with these binaries."""
    runtimes = {name: RuntimeHandler(runtime_path=path) for name, path in paths.items()}
    return Handlers.find(
        Config(runtime=RuntimeTable(default_runtime=default, runtimes=runtimes)), state, "cgroupfs"
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return runtime(tmp_path, "program", ABLE).path


@pytest.mark.parametrize("default", ["own", "crun"])
def test_a_configured_handler_must_not_get_lost(tmp_path: Path, program: Path, default: str) -> None:
    former = found(tmp_path, default, own=program, crun=program)
    with pytest.raises(HandlersLost, match=r"handler 'own': no program '.*/none'"):
        found(tmp_path, default, own=tmp_path / "none", crun=program).require_those_of(former)


def test_the_default_must_not_get_lost(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "crun").symlink_to(program)
    monkeypatch.setenv("PATH", str(directory))
    former = found(tmp_path, "crun")
    (directory / "crun").unlink()
    with pytest.raises(HandlersLost, match="no OCI runtime"):
        found(tmp_path, "crun").require_those_of(former)


def test_our_own_runtime_is_always_there_and_the_last_choice(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    alone = found(tmp_path)
    assert (alone.default, alone.names(), alone.problem()) == ("podwright", ["podwright"], "")
    assert alone.takes_compiled_filters("podwright")
    (directory / "runc").symlink_to(program)
    assert found(tmp_path).default == "runc"
    assert found(tmp_path, "podwright").default == "podwright"


def test_handlers_may_be_added_left_out_and_go_on_missing(tmp_path: Path, program: Path) -> None:
    none = tmp_path / "none"
    former = found(tmp_path, "own", own=program, gone=program, missing=none)
    found(tmp_path, "own", own=program, missing=none, new=program, other=none).require_those_of(former)


async def test_a_program_that_hangs_or_cannot_run_is_its_handlers_matter(tmp_path: Path) -> None:
    hangs, broken = tmp_path / "hangs", tmp_path / "broken"
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    broken.write_bytes(b"\x7fELF, but not really")
    for program in (hangs, broken):
        program.chmod(0o755)
    handlers = Handlers(
        {
            "able": runtime(tmp_path, "able", ABLE),
            "hangs": CliRuntime.find("hangs", str(hangs), tmp_path, timeout_s=0.2),
            "broken": CliRuntime.find("broken", str(broken), tmp_path),
        },
        "able",
    )
    await handlers.probe()
    assert set(handlers.unusable()) == {"hangs", "broken"}
    assert handlers.problem() == ""
    handlers.require_usable("")
    for name in ("hangs", "broken"):
        with pytest.raises(HandlerUnusable, match=f"{name}.*does not answer"):
            handlers.require_usable(name)
        assert handlers.get(name).name == name  # what it made must still be stopped and removed
    hangs.write_text("#!/bin/sh\necho '{}'\n")
    await handlers.probe_one("hangs")
    handlers.require_usable("hangs")


async def test_a_default_that_does_not_answer_is_the_nodes_problem(tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    hangs.chmod(0o755)
    handlers = Handlers({"hangs": CliRuntime.find("hangs", str(hangs), tmp_path, timeout_s=0.2)}, "hangs")
    await handlers.probe()
    assert "does not answer" in handlers.problem()
