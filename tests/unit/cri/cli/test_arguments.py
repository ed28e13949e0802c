from pathlib import Path

import pytest

from cri.cli import main
from cri.cli.arguments import EXIT_CODES, FLAGS, load_configuration, overrides, parse


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
            {"action": "remove", "image": ["busybox"], "root": "/r"},
        ),
        (["config", "--default"], {"command": "config", "default": True}),
        (["version", "--json"], {"command": "version", "output": "json"}),
        (["version", "-o", "yaml"], {"command": "version", "output": "yaml"}),
        (["image", "ls", "-q"], {"action": "ls", "quiet": True, "output": "table"}),
        (["image", "rm", "a", "b"], {"action": "rm", "image": ["a", "b"]}),
        (["help", "image", "pull"], {"command": "help", "words": ["image", "pull"]}),
    ],
)
def test_commands_have_their_arguments(argv: list[str], expected: dict[str, object]) -> None:
    found = vars(parse(argv))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["serv"], 'podwright: there is no "serv"; did you mean "serve"? Known: serve, config, check, '),
        (["zzz"], 'podwright: there is no "zzz". Known: serve'),
        (["image", "lst"], 'podwright image: there is no "lst"; did you mean "list"?'),
        (["node-config", "kubead"], 'there is no "kubead"; did you mean "kubeadm"?'),
        (["ops", "--outptu=json"], 'podwright ops: there is no option "--outptu"; did you mean "--output"?'),
        (["image", "list", "--rot", "/r"], 'podwright image list: there is no option "--rot"; did you mean'),
        (
            ["--log-levle", "debug", "serve"],
            'podwright: there is no option "--log-levle"; did you mean "--log',
        ),
        (["--root", "/r", "-x", "serve"], 'podwright: there is no option "-x".'),
        (["image", "list", "more"], 'podwright image list: "more" is too much.'),
        (["image"], "podwright image: the following arguments are required: ACTION"),
        (["help", "serv"], 'there is no "serv"; did you mean "serve"?'),
        (["\x1b[31m"], 'podwright: there is no "\\x1b[31m".'),
    ],
)
def test_a_mistyped_word_gets_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    said = capsys.readouterr()
    assert (caught.value.code, said.out) == (2, "")
    assert words in said.err
    assert len(said.err.splitlines()) == 2
    assert said.err.endswith("--help tells more.\n")


def test_without_a_word_all_commands_are_shown_as_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    said = capsys.readouterr()
    assert (caught.value.code, said.out) == (2, "")
    assert "node-config" in said.err
    assert EXIT_CODES in " ".join(said.err.split())


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["help"], ["help", "image", "pull"]])
def test_what_is_asked_for_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    said = capsys.readouterr()
    assert (caught.value.code, said.err) == (0, "")
    assert "podwright" in said.out
