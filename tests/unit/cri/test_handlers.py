"""What handlers are found and what is said of them, with programs that stand for runtimes."""

import json
from pathlib import Path

import pytest

from cri.handlers import Handlers, NoUserNamespaces, UnknownHandler
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
