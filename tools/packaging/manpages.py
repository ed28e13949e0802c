"""The manual pages: options from the schema, commands from the command line's grammar.

python3 -m tools.packaging.manpages DIRECTORY
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from conf.load import DEFAULT_DIRECTORY, DEFAULT_FILE
from conf.reference import Described, reference
from conf.tables import dotted
from conf.unsupported import ANY_KEY, ANY_TABLE, UNSUPPORTED
from cri.cli.arguments import parser
from cri.cli.grammar import Argument, Command, commands
from cri.version import VERSION
from tools.packaging.roff import Page

SOURCE = f"Podwright {VERSION}"


def pages(day: date) -> Mapping[str, str]:
    """The pages as of ``day`` by file name, such as ``podwright.8``."""
    made = (_command(day), _configuration(day), _monitor(day), _oci(day), _streaming(day))
    return {page.file_name: str(page) for page in made}


def _command(day: date) -> Page:
    page = Page("podwright", 8, day, SOURCE, "a Kubernetes container runtime (CRI v1)")
    every = list(commands(parser()))
    page.heading("SYNOPSIS").synopsis(
        *((f"podwright {' '.join(each.words)}", _usage(each)) for each in every)
    )
    page.heading("DESCRIPTION").text(
        "podwright serve is the daemon that the kubelet talks to: it turns the pods of the container runtime "
        "interface into namespaces, networks and containers, and keeps their images. The other commands help "
        "whoever runs the node.",
        "Containers are watched by podwright-monitor(8), which lives on when the daemon ends: to restart the "
        "daemon or to upgrade it stops no container and loses no line of a log.",
    )
    page.heading("COMMANDS")
    for command in every:
        page.item(" ".join(command.words), _usage(command, common=False), _sentence(command.text))
        with page.indented():
            for argument in command.own:
                page.item(*_term(argument), _sentence(argument.text))
    page.heading("OPTIONS").text("All commands but version take these, before or after the command's name.")
    common = next(command.common for command in every if command.common)
    for argument in common:
        page.item(*_term(argument), _sentence(argument.text))
    _add_ends(page)
    return page


def _add_ends(page: Page) -> None:
    page.heading("SIGNALS")
    page.item("SIGTERM, SIGINT", "", "The daemon ends when running requests have; containers go on.")
    page.item("SIGHUP", "", "The configuration is read again; podwright.conf(5) says what takes effect.")
    page.item("SIGUSR1", "", "Where each task and thread waits is written to a file in dumps below runroot.")
    page.heading("EXIT STATUS")
    page.item("0", "", "Done. For check: pods can run here.")
    page.item("1", "", "It failed; the reason is on standard error.")
    page.item("2", "", "Wrong usage.")
    page.item("130", "", "Interrupted.")
    page.heading("ENVIRONMENT")
    page.item(
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "",
        "Set by systemd: where and how often the daemon says that it is well.",
    )
    page.heading("FILES")
    page.item(str(DEFAULT_FILE), "", "The configuration, see podwright.conf(5).")
    page.item("/run/podwright/podwright.sock", "", "The socket of the kubelet and of crictl.")
    page.item("/run/podwright", "", "Records, namespaces and bundles of what runs; gone after a reboot.")
    page.item("/var/lib/podwright", "", "Images, layers and the writable layers of containers.")
    page.item("/etc/cni/net.d", "", "Networks of pods.")
    page.item("/etc/containers/registries.conf", "", "Registries and mirrors.")
    page.heading("EXAMPLES")
    page.text("See what will and will not work on this host, then what is set apart from the defaults:")
    page.example(["podwright check", "podwright config"])
    page.text("Run the daemon, and ask it:")
    page.example(
        [
            "systemctl enable --now podwright",
            "crictl --runtime-endpoint unix:///run/podwright/podwright.sock info",
        ]
    )
    page.heading("SEE ALSO").text(
        "podwright.conf(5), podwright-monitor(8), podwright-oci(8), podwright-streaming(8), crun(1), "
        "runc(8), nft(8)"
    )


def _configuration(day: date) -> Page:
    page = Page("podwright.conf", 5, day, SOURCE, "configuration of Podwright")
    page.heading("DESCRIPTION").text(
        f"Podwright reads {DEFAULT_FILE} and then the files below {DEFAULT_DIRECTORY} in the order of their "
        "names; options of the command line come last. Later ones win, key by key. No file need exist.",
        "The files are TOML with the tables and keys of crio.conf(5), so that a file of CRI-O can be used as "
        "it is. A table may be written without its leading crio. A key that does not exist is an error.",
        'Durations are numbers of seconds or texts such as "30s" and "1h30m".',
        "podwright config shows what differs from the defaults, podwright config --default a sample of all.",
    )
    for table in reference():
        page.heading(f"[{table.name}]").text(table.text)
        for option in table.options:
            page.item(option.key, f"({option.kind})", option.text, _notes(option))
    page.heading("KEYS WITHOUT EFFECT").text("These keys of CRI-O are accepted, with one warning.")
    for table_name, keys in _ignored():
        page.item(f"[{table_name}]", "", keys)
    page.heading("FILES").item(str(DEFAULT_FILE), "").item(str(DEFAULT_DIRECTORY), "")
    page.heading("SEE ALSO").text("podwright(8), containers-registries.conf(5), crio.conf(5)")
    return page


def _monitor(day: date) -> Page:
    page = Page("podwright-monitor", 8, day, SOURCE, "the process that watches Podwright's containers")
    page.heading("SYNOPSIS").synopsis(("podwright-monitor", "DIRECTORY"))
    page.heading("DESCRIPTION").text(
        "One such process watches all containers of a node: it runs the OCI runtime's commands, holds the "
        "containers' pipes, consoles and pidfds, writes their logs, and records how they ended. The daemon, "
        "podwright(8), starts it when none runs for its directory; nobody else needs to.",
        "It lives on when the daemon ends or is upgraded under containers, and hands everything to the next "
        "one; without containers it ends with the daemon. When it is killed itself, the daemon starts "
        "another and gives it what it holds: no line of a log and no exit code is lost.",
        "With the first container it forks podwright-keeper, a process that holds the same descriptors and "
        "does nothing else: when daemon and monitor are killed at once, the next monitor gets them there.",
        "A daemon of another version has it replaced in place, by execve(2) with everything kept; so does "
        "podwright monitor upgrade. Only attachments end.",
        "DIRECTORY is the absolute path of the daemon's runroot.",
    )
    page.heading("SIGNALS")
    page.item("SIGTERM", "", "It ends if no container lives; otherwise it says so in its log and goes on.")
    page.item("SIGHUP, SIGINT, SIGQUIT", "", "Nothing.")
    page.heading("FILES")
    page.item("DIRECTORY/monitor.sock", "", "Where the daemon reaches it.")
    page.item("DIRECTORY/keeper.sock", "", "Where the next monitor reaches the keeper.")
    page.item("DIRECTORY/monitor.log", "", "Its complaints.")
    page.item("DIRECTORY/exits/", "", "How containers ended, until the daemon has read it.")
    page.heading("SEE ALSO").text("podwright(8)")
    return page


def _oci(day: date) -> Page:
    page = Page("podwright-oci", 8, day, SOURCE, "Podwright's own OCI runtime")
    page.heading("SYNOPSIS").synopsis(("podwright-oci", "[GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]"))
    page.heading("DESCRIPTION").text(
        "Makes and runs containers from bundles, as the runtime specification of the OCI has it. Its "
        "commands and options are those of runc(8): create, start, run, exec, kill, delete, state, list, "
        "ps, pause, resume, update, events, spec and features. The daemon, podwright(8), runs it for the "
        "handler podwright; podman(1), conmon(8) and the shims of containerd can too.",
        "create --dry-run prints what would be done, one JSON object a line, and does nothing.",
        "Intel RDT, network devices and checkpoints are refused.",
    )
    page.heading("OPTIONS")
    page.item("--root DIRECTORY", "", "Where states of containers are kept; /run/podwright-oci.")
    page.item("--log FILE", "", "Errors are appended to it, besides standard error.")
    page.item("--log-format text|json", "", "Their form.")
    page.item("--systemd-cgroup", "", "Cgroups are made by systemd; cgroupsPath is slice:prefix:name.")
    page.heading("EXIT STATUS").text(
        "1 after a failure, 255 after that of exec. run and exec, unless they are detached, have the "
        "program's, or 128 and the number of the signal that ended it."
    )
    page.heading("SEE ALSO").text("podwright(8), runc(8), crun(1)")
    return page


def _streaming(day: date) -> Page:
    page = Page(
        "podwright-streaming", 8, day, SOURCE, "the process that serves exec, attach and port-forward"
    )
    page.heading("SYNOPSIS").synopsis(("podwright-streaming", "RUNROOT"))
    page.heading("DESCRIPTION").text(
        "One such process takes the clients of exec, attach and port-forward in and moves bytes between "
        "them and containers. The daemon, podwright(8), starts it, gives it the listening socket and, by "
        "session, descriptors, and starts another when it ends; nobody else can make use of it.",
        "It has the account podwright-streaming where there is one, else the numbers 65534, no capability, a "
        "filter of system calls, no files, and 768 MiB of memory at most. It ends with the daemon; its "
        "sessions end with it.",
    )
    page.heading("SEE ALSO").text("podwright(8), podwright.conf(5)")
    return page


def _usage(command: Command, *, common: bool = True) -> str:
    terms = [(" ".join(filter(None, _term(each))), each.is_option) for each in command.own]
    parts = [f"[{term}]" if is_option else term for term, is_option in terms]
    return " ".join([*parts, *(["[OPTION...]"] if common and command.common else [])])


def _term(argument: Argument) -> tuple[str, str]:
    """What is typed as it stands, and what stands for something else."""
    return ", ".join(argument.names), argument.value


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _notes(option: Described) -> str:
    notes = [f"Default: {option.default}" + (f" {option.unit}." if option.unit else ".")]
    notes += ["A change takes effect at SIGHUP."] if option.reload else []
    notes += ["CRI-O has no such key."] if option.own else []
    return " ".join(notes)


def _ignored() -> Iterator[tuple[str, str]]:
    """Each table with its keys and the reasons, as one text."""
    for table, keys in UNSUPPORTED.items():
        listed = (f"{'every key' if key == ANY_KEY else key} ({why})" for key, why in keys.items())
        yield dotted(table).replace(ANY_TABLE, "NAME"), ", ".join(listed) + "."


def main() -> int:
    """Write the pages into the directory that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python3 -m tools.packaging.manpages DIRECTORY")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages(datetime.now(UTC).date()).items():
        (directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
