import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.errors import InvalidArgument
from oci.cli import CliRuntime, Kind, RuntimeMissing, is_gone, message_of
from oci.orders import Create, Exec, Files
from oci.runtime import RuntimeFailed, RuntimeTimedOut

ID = "0123456789abcdef" * 4


def runtime(kind: Kind, path: str = "/usr/bin/it", timeout_s: float = 20) -> CliRuntime:
    return CliRuntime("handler", Path(path), Path("/run/it"), kind, ("--flag",), timeout_s)


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "runtime"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/usr/bin/crun", Kind.CRUN),
        ("/opt/runc-1.2", Kind.RUNC),
        ("/usr/bin/runsc", Kind.RUNSC),
        ("/usr/bin/youki", Kind.RUNC),
    ],
)
def test_kind_is_told_by_the_name(path: str, kind: Kind) -> None:
    assert Kind.of(Path(path)) is kind


def test_create_names_everything_it_needs() -> None:
    command = runtime(Kind.CRUN).command(Create(ID, "/b", no_pivot=True), Files("/log", "/pid", "/tty"))
    assert command == [
        "/usr/bin/it",
        "--root=/run/it",
        "--log=/log",
        "--log-format=json",
        "--flag",
        "create",
        "--bundle",
        "/b",
        "--pid-file",
        "/pid",
        "--console-socket",
        "/tty",
        "--no-pivot",
        ID,
    ]


def test_runsc_knows_no_no_pivot() -> None:
    command = runtime(Kind.RUNSC).command(Create(ID, "/b", no_pivot=True), Files("/log", "/pid"))
    assert "--no-pivot" not in command
    assert "--console-socket" not in command


@pytest.mark.parametrize(("kind", "flagged"), [(Kind.CRUN, False), (Kind.RUNC, True)])
def test_only_runc_wants_the_tty_flag_for_exec(kind: Kind, flagged: bool) -> None:
    command = runtime(kind).command(Exec(ID), Files("/log", "/pid", "/tty", "/json"))
    assert ("--tty" in command) is flagged
    assert command[-1] == ID


def test_empty_profiles_are_left_out_of_a_process() -> None:
    process = {"args": ["a"], "apparmorProfile": "", "selinuxLabel": "x", "cwd": ""}
    assert runtime(Kind.CRUN).prepare_process(process) == {"args": ["a"], "selinuxLabel": "x", "cwd": ""}


@pytest.mark.parametrize(
    ("log", "stderr", "message"),
    [
        (b'{"level":"info","msg":"hm"}\n{"level":"error","msg":"no"}\n', b"x", "no"),
        (b'{"msg": "crun words", "level": "error"}\n{"level":"warning","msg":"w"}', b"", "crun words"),
        (b"not json\n", b"first\n\nlast words\n", "last words"),
        (b"[]\n7\n", b"", "failed without a word"),
        (b'{"level":"error","msg":""}', b"\xff\n", "\ufffd"),
    ],
)
def test_the_runtimes_own_words_are_found(log: bytes, stderr: bytes, message: str) -> None:
    assert message_of(log, stderr) == message


@pytest.mark.parametrize(
    "message",
    [
        "error opening file `/run/crun/x/status`: No such file or directory",
        "cannot open directory '/run/crun/x': No such file or directory",
        "container does not exist",
        "no such process",
    ],
)
def test_a_container_that_is_gone_is_recognised(message: str) -> None:
    assert is_gone(message)


def test_a_missing_program_is_not_a_missing_container() -> None:
    log = b'{"level":"error","msg":"executable file `/bin/x` not found in $PATH: No such file or directory"}'
    assert isinstance(runtime(Kind.CRUN).failure("exec", ID, log, b""), RuntimeFailed)
    assert isinstance(runtime(Kind.CRUN).failure("create", ID, b"", b"bundle does not exist"), RuntimeFailed)


def test_error_names_runtime_verb_and_short_id() -> None:
    error = runtime(Kind.RUNC).failure("start", ID, b"", b"broken\n")
    assert str(error) == "handler start 0123456789abc: broken"


def test_deleting_what_is_gone_is_fine(tmp_path: Path) -> None:
    path = script(tmp_path, "echo 'container does not exist' >&2; exit 1")
    asyncio.run(runtime(Kind.RUNC, path).delete(ID, force=True))


def test_state_of_the_unknown_is_none_and_of_the_known_its_document(tmp_path: Path) -> None:
    gone = script(tmp_path, "echo 'container does not exist' >&2; exit 1")
    assert asyncio.run(runtime(Kind.RUNC, gone).state(ID)) is None
    known = script(tmp_path, 'echo \'{"status": "running"}\'')
    assert asyncio.run(runtime(Kind.RUNC, known).state(ID)) == {"status": "running"}


def test_a_state_that_is_no_document_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed, match="no JSON object but b'hello"):
        asyncio.run(runtime(Kind.RUNC, script(tmp_path, "echo hello")).state(ID))


def test_kill_puts_the_signal_after_the_id(tmp_path: Path) -> None:
    path = script(tmp_path, f'echo "$@" > {tmp_path}/args')
    asyncio.run(runtime(Kind.RUNC, path).kill(ID, 9, everything=True))
    assert (tmp_path / "args").read_text().split()[-4:] == ["kill", "--all", ID, "9"]


def test_update_hands_the_resources_over_on_stdin(tmp_path: Path) -> None:
    path = script(tmp_path, f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/resources')
    asyncio.run(runtime(Kind.RUNC, path).update(ID, {"cpu": {"shares": 7}}))
    assert json.loads((tmp_path / "resources").read_text()) == {"cpu": {"shares": 7}}
    assert "--resources" in (tmp_path / "args").read_text()


def test_features_are_none_where_the_command_is_unknown(tmp_path: Path) -> None:
    path = script(tmp_path, "echo 'unknown command features' >&2; exit 1")
    assert asyncio.run(runtime(Kind.CRUN, path).features()) is None


def test_version_is_the_first_line(tmp_path: Path) -> None:
    path = script(tmp_path, "echo crun version 1.8.1; echo commit: x")
    assert asyncio.run(runtime(Kind.CRUN, path).version()) == "crun version 1.8.1"


def test_a_command_without_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeTimedOut, match=r"handler state 0123456789abc: no end within 0\.2 s, killed"):
        asyncio.run(runtime(Kind.RUNC, script(tmp_path, "sleep 600"), timeout_s=0.2).state(ID))


def test_a_runtime_that_is_not_there_is_named() -> None:
    with pytest.raises(RuntimeMissing, match="no-such-runtime"):
        CliRuntime.find("no-such-runtime", "", Path("/run/x"))


@pytest.mark.parametrize(
    "words",
    [
        "chdir `/proc/self/fd/7`: No such file or directory",
        "executable file `sh` not found in $PATH",
        "mount `/a` to `tmp`: Not a directory",
        "unable to start container process: error during container init: mkdir /m: file exists",
        "OOM: the memory limit could be too low",
        "exec: Argument list too long",
    ],
)
@pytest.mark.parametrize(("verb", "refused"), [("create", True), ("exec", True), ("delete", False)])
def test_what_the_request_or_the_image_is_to_blame_for(words: str, verb: str, refused: bool) -> None:
    error = runtime(Kind.RUNC).failure(verb, ID, b"", words.encode())
    assert isinstance(error, RuntimeFailed)
    assert isinstance(error, InvalidArgument) is refused
    assert words in str(error)


def test_a_runtime_that_breaks_is_to_blame_itself() -> None:
    error = runtime(Kind.CRUN).failure("create", ID, b"", b"panic: nil")
    assert not isinstance(error, InvalidArgument)


@pytest.mark.parametrize("words", ["", "echo 'container does not exist' >&2; exit 1"])
def test_a_forced_deletion_leaves_nothing_of_what_a_killed_create_left(tmp_path: Path, words: str) -> None:
    one = replace(runtime(Kind.CRUN, script(tmp_path, words)), root=tmp_path / "state")
    half = one.root / ID
    half.mkdir(parents=True)
    (half / "half.json").touch()
    asyncio.run(one.delete(ID))
    assert half.exists()
    asyncio.run(one.delete(ID, force=True))
    assert not half.exists()
