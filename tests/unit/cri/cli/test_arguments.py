from pathlib import Path

import pytest

from cri.cli.arguments import FLAGS, load_configuration, overrides, parse


def test_options_may_stand_before_and_after_the_command() -> None:
    before = parse(["--root", "/a", "--config", "/c", "serve"])
    after = parse(["serve", "--root", "/a", "--config", "/c"])
    assert overrides(before) == overrides(after) == {"crio.root": "/a"}
    assert before.config == after.config == Path("/c")
    assert before.command == after.command == "serve"


def test_set_adds_up_over_both_places() -> None:
    arguments = parse(
        ["--set", "root=/a", "serve", "--set", "api.stream_port=5", "--set", "runtime.read_only=true"]
    )
    assert overrides(arguments) == {"root": "/a", "api.stream_port": 5, "runtime.read_only": True}


def test_what_stands_after_the_command_does_not_reset_what_stood_before() -> None:
    assert overrides(parse(["--log-level", "debug", "check", "--root", "/a"])) == {
        "crio.runtime.log_level": "debug",
        "crio.root": "/a",
    }


def test_every_flag_is_an_option_of_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "a.conf"
    file.write_text("")
    values = {"log_level": "debug", "log_format": "json", "default_runtime": "runc"}
    argv = [f"--{name.replace('_', '-')}={values.get(name, '/' + name)}" for name in FLAGS]
    loaded = load_configuration(parse(["config", "--config", str(file), *argv]))
    assert set(loaded.sources) == set(FLAGS.values())


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["image", "import", "/f", "--name", "n"], {"action": "import", "file": Path("/f"), "name": "n"}),
        (["image", "list"], {"action": "list"}),
        (["image", "pull", "busybox"], {"action": "pull", "image": "busybox"}),
        (
            ["image", "remove", "busybox", "--root", "/r"],
            {"action": "remove", "image": "busybox", "root": "/r"},
        ),
        (["config", "--default"], {"command": "config", "default": True}),
        (["version", "--json"], {"command": "version", "json": True}),
    ],
)
def test_commands_have_their_arguments(argv: list[str], expected: dict[str, object]) -> None:
    assert expected.items() <= vars(parse(argv)).items()
