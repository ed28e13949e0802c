"""Command lines."""

import pytest

from oci.run.cli import process_file, resources
from oci.run.cli.commands import signal_number
from oci.run.cli.words import Option, Usage, parse
from oci.run.document import Table

OPTIONS = (Option(("bundle", "b")), Option(("force", "f"), takes=False), Option(("env", "e"), again=True))


@pytest.mark.parametrize(
    "words",
    [
        ["--bundle", "x", "--force", "id"],
        ["-b", "x", "-f", "id"],
        ["--bundle=x", "-force", "id"],
        ["id", "--force", "--bundle", "x"],
    ],
)
def test_options_are_read_in_every_form(words: list[str]) -> None:
    given = parse(words, OPTIONS)
    assert (given.text("bundle"), given.has("force"), given.rest) == ("x", True, ["id"])


def test_what_follows_the_first_word_may_be_anothers() -> None:
    given = parse(["-e", "A=1", "-e", "B=2", "id", "sh", "-c", "x"], OPTIONS, mixed=False)
    assert (given.all("env"), given.rest) == (["A=1", "B=2"], ["id", "sh", "-c", "x"])
    assert parse(["--", "--force"], OPTIONS).rest == ["--force"]
    assert not parse(["--force=false"], OPTIONS).has("force")
    assert parse(["id", "-9"], OPTIONS).rest == ["id", "-9"]


@pytest.mark.parametrize("words", [["--what"], ["--bundle"]])
def test_what_is_not_known_is_refused(words: list[str]) -> None:
    with pytest.raises(Usage):
        parse(words, OPTIONS)


@pytest.mark.parametrize(
    ("text", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("RTMIN+3", 37), ("WINCH", 28)],
)
def test_signals_have_names_and_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "NOTHING", "-1", "RTMIN+x"])
def test_other_words_are_no_signals(text: str) -> None:
    with pytest.raises(Usage):
        signal_number(text)


@pytest.mark.parametrize(
    ("text", "size"), [("5", 5), ("1k", 1024), ("2M", 2 << 20), ("1Gb", 1 << 30), ("-1", -1), ("7b", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert resources.size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1x", "-2", "1.5m"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(Usage):
        resources.size(text)


def test_resources_are_made_of_options() -> None:
    options = tuple(Option((name,)) for name in ("memory", "cpu-share", "cpuset-cpus", "pids-limit"))
    words = ["--memory", "1m", "--cpu-share", "5", "--cpuset-cpus", "0", "--pids-limit", "-1"]
    given = parse(words, options)
    assert resources.read(given) == {
        "memory": {"limit": 1 << 20},
        "cpu": {"shares": 5, "cpus": "0"},
        "pids": {"limit": -1},
    }


OWN = Table(
    {
        "args": ["first"],
        "env": ["A=1"],
        "cwd": "/",
        "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
        "capabilities": {"bounding": ["CAP_KILL"], "inheritable": [], "ambient": []},
        "oomScoreAdj": 5,
    }
)
EXEC = (
    *(Option((name,), again=True) for name in ("env", "cap", "additional-gids")),
    *(Option((name,)) for name in ("user", "cwd", "apparmor", "process-label")),
    *(Option((name,), takes=False) for name in ("tty", "no-new-privs")),
)


def changed(*words: str) -> Table:
    return Table(process_file.changed(OWN, parse([*words, "id", "sh"], EXEC, mixed=False)))


def test_an_exec_is_like_the_container_but_for_its_options() -> None:
    table = changed(
        "--user", "5", "--env", "B=2", "--cap", "CAP_CHOWN", "--cwd", "/x", "--additional-gids", "9"
    )
    assert table.texts("args") == ("sh",)
    assert table.texts("env") == ("A=1", "B=2")
    user = table.table("user")
    assert (user.number("uid"), user.number("gid"), user.numbers("additionalGids")) == (5, 2, (3, 9))
    capabilities = table.table("capabilities")
    assert capabilities.texts("bounding") == ("CAP_KILL", "CAP_CHOWN")
    assert capabilities.texts("inheritable") == capabilities.texts("ambient") == ()
    assert "oomScoreAdj" not in table


@pytest.mark.parametrize("user", ["root", "-1", "1:x", ":", "1:", ""])
def test_a_user_is_a_number(user: str) -> None:
    with pytest.raises(Usage):
        changed("--user", user)
