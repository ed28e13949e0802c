"""exec: the process object, from a file or from the container's own and the options."""

import json
import sys
from collections.abc import Mapping

from oci.run.cli.words import Option, Usage, Words, parse
from oci.run.document import Table
from oci.run.errors import BadConfig
from oci.run.verbs import exec as verb
from oci.run.verbs.settings import Settings

_OPTIONS = (
    Option(("process", "p")),
    Option(("pid-file",)),
    Option(("console-socket",)),
    Option(("pidfd-socket",)),
    Option(("preserve-fds",)),
    Option(("detach", "d"), takes=False),
    Option(("tty", "t"), takes=False),
    Option(("cwd",)),
    Option(("env", "e"), again=True),
    Option(("user", "u")),
    Option(("additional-gids", "g"), again=True),
    Option(("process-label",)),
    Option(("apparmor",)),
    Option(("no-new-privs",), takes=False),
    Option(("cap", "c"), again=True),
    Option(("cgroup",)),
    Option(("ignore-paused",), takes=False),
)
_SETS = ("bounding", "effective", "permitted")


def execute(settings: Settings, words: list[str]) -> int:
    """The exec command; its exit code is the program's unless it is detached."""
    given = parse(words, _OPTIONS, mixed=False)
    if not given.rest:
        raise Usage("a container id is needed")
    options = verb.Options(
        pid_file=given.text("pid-file"),
        console_socket=given.text("console-socket"),
        pidfd_socket=given.text("pidfd-socket"),
        preserve_fds=given.number("preserve-fds"),
        detach=given.has("detach"),
        ignore_paused=given.has("ignore-paused"),
    )
    document = _document(settings, given)
    executed = verb.execute(settings, given.rest[0], document, options)
    if options.detach:
        return 0
    from oci.run.verbs import foreground

    return foreground.attend(executed.pid, executed.pidfd, executed.terminal)


def _document(settings: Settings, given: Words) -> Mapping[str, object]:
    if given.has("process"):
        return _read(given.text("process"))
    if len(given.rest) < 2:
        raise Usage("process args cannot be empty")
    own = settings.place(given.rest[0]).config().table("process")
    return changed(own, given)


def _read(path: str) -> Mapping[str, object]:
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
            return Table(json.load(file), "process").raw
    except ValueError as error:
        raise BadConfig(f"process file {path}: {error}") from None


def changed(own: Table, given: Words) -> Mapping[str, object]:
    """The container's process object with other arguments, and with what the options say."""
    document = {**own.raw, "args": given.rest[1:], "terminal": given.has("tty")}
    document.pop("oomScoreAdj", None)
    document["env"] = [*own.texts("env"), *given.all("env")]
    for option, key in (("cwd", "cwd"), ("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if given.has(option):
            document[key] = given.text(option)
    if given.has("no-new-privs"):
        document["noNewPrivileges"] = True
    if given.has("cap"):
        document["capabilities"] = _with_capabilities(own.table("capabilities"), given.all("cap"))
    if given.has("user") or given.has("additional-gids"):
        document["user"] = _user(own.table("user"), given)
    return document


def _with_capabilities(own: Table, names: list[str]) -> dict[str, object]:
    """In addition to what it has; never inheritable, and ambient only with that (CVE-2022-29162)."""
    sets = dict(own.raw)
    for name in _SETS:
        sets[name] = list(dict.fromkeys((*own.texts(name), *names)))
    return sets


def _user(own: Table, given: Words) -> dict[str, object]:
    user: dict[str, object] = dict(own.raw)
    if given.has("user"):
        uid, colon, gid = given.text("user").partition(":")
        user["uid"], user["gid"] = _id(uid), _id(gid) if colon else own.number("gid")
    if given.has("additional-gids"):
        user["additionalGids"] = [*own.numbers("additionalGids"), *map(_id, given.all("additional-gids"))]
    return user


def _id(text: str) -> int:
    if not text.isdecimal():
        raise Usage(f"{text!r} is no user or group id")
    return int(text)
