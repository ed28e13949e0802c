"""The command line's grammar, and its options as overrides of the configuration."""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from conf.load import Loaded, load, parse_override
from conf.values import closest
from cri.cli.output import warn
from cri.version import VERSION

# Flags of their own for the options that are set most, by their key in the configuration.
FLAGS: Mapping[str, str] = {
    "root": "crio.root",
    "runroot": "crio.runroot",
    "log_dir": "crio.log_dir",
    "listen": "crio.api.listen",
    "default_runtime": "crio.runtime.default_runtime",
    "log_level": "crio.runtime.log_level",
    "log_format": "crio.runtime.log_format",
    "network_dir": "crio.network.network_dir",
}
SORTS = ("cpu", "memory_bytes", "name", "age_s")
OUTPUTS = ("table", "json", "yaml")
FILTERS_HELP = "reference=GLOB, dangling=BOOL, pinned=BOOL, label=KEY[=VALUE], before=IMAGE, since=IMAGE"
EXIT_CODES = "Exit codes: 0 done, 1 it failed (standard error says why), 2 wrong usage, 130 interrupted."
SHELLS = ("bash", "zsh", "fish")
# The group of the options that all commands have.
COMMON = "configuration"
COMMON_HELP = "podwright help options"
NODE_CONFIG_TOOLS = ("kubeadm", "kubelet", "kind", "minikube", "crictl")


class Parser(argparse.ArgumentParser):
    """argparse's, which names what was probably meant by a word that it does not know, and whose help leaves
    out what all commands have in common: ``podwright help options`` shows that."""

    def format_help(self) -> str:
        """The command's own options, and where the others are."""
        groups, actions, epilog = self._action_groups, self._actions, self.epilog
        common = [action for group in groups if group.title == COMMON for action in group._group_actions]
        shown = [action for action in common if action.help is not argparse.SUPPRESS]
        self._action_groups = [group for group in groups if group.title != COMMON]
        self._actions = [action for action in actions if action not in common]
        if shown:
            self.epilog = f"{len(shown)} more options name or override the configuration: {COMMON_HELP}."
        try:
            return super().format_help()
        finally:
            self._action_groups, self._actions, self.epilog = groups, actions, epilog

    def format_common(self) -> str:
        """What ``format_help`` leaves out."""
        formatter = self._get_formatter()
        for group in self._action_groups:
            if group.title == COMMON:
                formatter.start_section("options of all commands, before or after the command")
                formatter.add_arguments(group._group_actions)
                formatter.end_section()
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"argument \w+: invalid choice: '(.*)' \(choose from (.*)\)$", message, re.DOTALL)
        if unknown:
            known = re.findall(r"[\w-]+", unknown[2])
            message = f'there is no "{unknown[1]}"{_meant(unknown[1], known)} Known: {", ".join(known)}.'
        warn(f"{self.prog}: {message}")
        warn(f"{self.prog} --help tells more.")
        raise SystemExit(2)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``command`` names the module of cri.cli to run. Wrong usage exits with 2."""
    top = parser()
    words = sys.argv[1:] if argv is None else argv
    if not words:
        top.print_help(sys.stderr)
        raise SystemExit(2)
    _refuse_unknown(top, _before_command(top, words))
    arguments, unknown = top.parse_known_args(words)
    _refuse_unknown(_chosen(top, arguments), unknown)
    return arguments


def _refuse_unknown(chosen: argparse.ArgumentParser, unknown: Sequence[str]) -> None:
    if not unknown:
        return
    first = unknown[0].partition("=")[0]
    if first.startswith("-"):
        chosen.error(f'there is no option "{first}"{_meant(first, _options(chosen))}')
    chosen.error(f'"{first}" is too much.')


def _before_command(top: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """An unknown option that stands there: argparse would take its value for the command."""
    left = iter(words)
    for word in left:
        name, has_value, _ = word.partition("=")
        if not name.startswith("-"):
            return []
        if not any(option.startswith(name) for option in _options(top)):
            return [name]
        if not has_value:
            next(left, None)
    return []


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in parser._actions for name in action.option_strings]


def _chosen(top: argparse.ArgumentParser, arguments: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the command that was given."""
    for action in top._actions:
        name = getattr(arguments, action.dest, None)
        if isinstance(action, argparse._SubParsersAction) and name in action.choices:
            found: argparse.ArgumentParser = action.choices[name]
            return _chosen(found, arguments)
    return top


def _meant(word: str, known: Sequence[str]) -> str:
    near = closest(word, known)
    return f'; did you mean "{near}"?' if near else "."


def load_configuration(arguments: argparse.Namespace) -> Loaded:
    """The configuration that the files and flags of this command line give.

    Raises:
        BadConfiguration: With all that is wrong.
    """
    return load(arguments.config, arguments.config_dir, overrides(arguments))


def overrides(arguments: argparse.Namespace) -> Mapping[str, object]:
    """Values by dotted key: ``--set`` first, so that a flag of its own wins."""
    given = dict(parse_override(text) for text in [*arguments.set, *arguments.set_after])
    flags = {key: getattr(arguments, name) for name, key in FLAGS.items()}
    return given | {key: value for key, value in flags.items() if value is not None}


def parser() -> argparse.ArgumentParser:
    """The grammar; the man page and shell completion are made of it too."""
    top = Parser(
        prog="podwright",
        description="A Kubernetes container runtime (CRI v1). COMMAND --help shows a command's options.",
        epilog=EXIT_CODES,
    )
    top.add_argument("--version", action="version", version=f"podwright {VERSION}", help="print the version")
    _add_configuration(top, before_command=True)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_configuration(commands.add_parser("serve", help="run the daemon"))
    config = commands.add_parser("config", help="show what differs from the defaults")
    config.add_argument("--default", action="store_true", help="a commented sample with every option instead")
    _add_output(config)
    _add_configuration(config)
    check = commands.add_parser("check", help="examine this host and say what will work")
    check.add_argument("--storage", action="store_true", help="only read all layers of all images")
    check.add_argument(
        "--repair", "-r", action="store_true", help="with --storage: remove what is broken, and nothing else"
    )
    for names in (("--quick", "-q"), ("--force", "-f"), ("--wipe", "-w")):  # CRI-O's
        check.add_argument(*names, dest="crio", action="append_const", const=names[0], help=argparse.SUPPRESS)
    check.add_argument("--age", "-a", help=argparse.SUPPRESS)
    ops = commands.add_parser("ops", help="show what the running daemon is doing now")
    ops.add_argument("--watch", "-w", action="store_true", help="go on showing it")
    for each in (check, ops, *_add_timeline(commands)):
        _add_output(each)
        _add_configuration(each)
    _add_status(commands.add_parser("status", help="ask the running daemon about itself and its containers"))
    version = commands.add_parser("version", help="print the version")
    version.add_argument("--json", dest="output", action="store_const", const="json", help="as -o json")
    _add_output(version)
    helping = commands.add_parser("help", help="show the options of a command")
    helping.add_argument(
        "words", nargs="*", metavar="COMMAND", help="as in image pull; all without one; or options"
    )
    complete = commands.add_parser(
        "completion", aliases=["complete"], help="print a script that completes commands and options"
    )
    complete.add_argument("shell", nargs="?", choices=SHELLS, default="bash", help="for which shell")
    wipe = commands.add_parser("wipe", help="remove all images, when no daemon and no pod is there")
    wipe.add_argument("--force", "-f", action="store_true", help="do it; without this nothing is removed")
    _add_output(wipe)
    _add_configuration(wipe)
    _add_image(commands.add_parser("image", help="work on the image store"))
    monitor = commands.add_parser("monitor", help="work on the process that watches containers")
    actions = monitor.add_subparsers(dest="action", required=True, metavar="ACTION")
    upgrade = actions.add_parser("upgrade", help="replace it in place by this version")
    _add_output(upgrade)
    _add_configuration(upgrade)
    _add_node_config(commands.add_parser("node-config", help="print what a tool needs to use this runtime"))
    return top


def _add_timeline(
    commands: "argparse._SubParsersAction[Parser]",
) -> Iterator[argparse.ArgumentParser]:
    """What looks at the daemon's operations."""
    what = "of a pod, container or image: name, namespace/name, id or its beginning"
    timeline = commands.add_parser("timeline", help="show what was done, step by step")
    events = commands.add_parser("events", help="show what became of pods, containers and images")
    for each in (timeline, events):
        each.add_argument("name", nargs="?", default="", metavar="NAME", help=f"{what}; all without one")
        each.add_argument("--limit", "-n", type=int, default=200, help="the newest so many (200)")
        yield each
    events.add_argument("--follow", "-f", action="store_true", help="go on with what happens")
    why = commands.add_parser("why", help="say in words what a pod waits for, and what to do")
    why.add_argument("name", metavar="NAME", help=what)
    yield why
    top = commands.add_parser("top", help="show containers by what they use, and what is running")
    top.add_argument("--sort", choices=SORTS, default="cpu", help="by which column")
    yield top


def _add_image(image: argparse.ArgumentParser) -> None:
    actions = image.add_subparsers(dest="action", required=True, metavar="ACTION")
    imported = actions.add_parser("import", help="take images from an archive")
    imported.add_argument("file", type=Path, help="docker or OCI archive; - is standard input")
    imported.add_argument("--name", help="name for an image whose archive gives none")
    listed = actions.add_parser("list", aliases=["ls"], help="list the images")
    listed.add_argument("--quiet", "-q", action="store_true", help="ids alone")
    listed.add_argument(
        "--filter", "-f", action="append", default=[], metavar="KEY=VALUE", help=FILTERS_HELP, dest="filters"
    )
    inspected = actions.add_parser("inspect", help="show all that is known of an image")
    inspected.add_argument("image", help="id, name or digest")
    pull = actions.add_parser("pull", help="fetch an image from its registry")
    pull.add_argument("image", help="name, with a tag or digest")
    remove = actions.add_parser("remove", aliases=["rm"], help="remove an image with all its names")
    remove.add_argument("image", nargs="+", help="id, name or digest")
    tag = actions.add_parser("tag", help="give an image further names")
    tag.add_argument("image", help="id, name or digest")
    tag.add_argument("name", nargs="+", help="name, with a tag")
    verify = actions.add_parser("verify", help="read all layers and compare them with what was recorded")
    verify.add_argument("image", nargs="*", help="id, name or digest; all without one")
    prune = actions.add_parser("prune", help="remove images without a name that no container has")
    prune.add_argument("--all", "-a", action="store_true", help="those with a name too; pinned ones stay")
    prune.add_argument("--dry-run", action="store_true", help="only say which")
    usage = actions.add_parser("du", help="show what images take on disk")
    usage.add_argument("--layers", action="store_true", help="by layer instead")
    for action in (imported, listed, inspected, pull, remove, tag, verify, prune, usage):
        _add_output(action)
        _add_configuration(action)


def _add_status(status: argparse.ArgumentParser) -> None:
    actions = status.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", aliases=["i"], help="its version, storage and cgroups")
    config = actions.add_parser("config", aliases=["c"], help="the configuration in force")
    containers = actions.add_parser(
        "containers", aliases=["container", "cs", "s"], help="containers, or all that is known of one"
    )
    containers.add_argument("--id", "-i", help="of a container or pod, or its beginning")
    containers.add_argument("--quiet", "-q", action="store_true", help="ids alone")
    tasks = actions.add_parser("tasks", aliases=["goroutines", "g"], help="where its tasks and threads wait")
    heap = actions.add_parser("heap", aliases=["hp"], help="what its memory holds")
    for action in (tasks, heap):
        action.add_argument("--file", "-f", type=Path, help="write it there, for root alone")
    pause = actions.add_parser("pause", help="freeze a container; the CRI goes on calling it running")
    unpause = actions.add_parser("unpause", help="let a frozen container go on")
    for action in (pause, unpause):
        action.add_argument("id", help="of a container, or its beginning")
    for action in (info, config, containers, tasks, heap, pause, unpause):
        action.add_argument("--socket", type=Path, help="of the daemon; inspection_socket by default")
        _add_output(action)
        _add_configuration(action)


def _add_node_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tool", choices=NODE_CONFIG_TOOLS, help="whose files to print")
    parser.add_argument("--write", type=Path, metavar="DIR", help="put the files into a directory instead")
    _add_output(parser)
    joining = parser.add_argument_group("joining a cluster, as `kubeadm init` prints it (kubeadm only)")
    joining.add_argument("--join", metavar="HOST:PORT", help="the API server")
    joining.add_argument("--token", help="bootstrap token")
    joining.add_argument("--discovery-token-ca-cert-hash", metavar="sha256:HASH", help="of its authority")
    _add_configuration(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", "-o", choices=OUTPUTS, default="table", help="for people, or for programs"
    )


def _add_configuration(parser: argparse.ArgumentParser, *, before_command: bool = False) -> None:
    """The options that name or override the configuration, allowed before and after the command.

    After it they have no defaults, or the absence of an option there would undo what stood before; and
    --set has a list of its own there, since a subparser begins its lists anew.
    """
    default = None if before_command else argparse.SUPPRESS
    group = parser.add_argument_group(COMMON)

    def add(*names: str, text: str, metavar: str, kind: type = str) -> None:
        shown = argparse.SUPPRESS if before_command else text
        group.add_argument(*names, help=shown, metavar=metavar, type=kind, default=default)

    add("--config", "-c", text="configuration file (TOML)", metavar="FILE", kind=Path)
    add("--config-dir", "-d", text="directory of further files, read in order", metavar="DIR", kind=Path)
    for name, key in FLAGS.items():
        add("--" + name.replace("_", "-"), text=f"override {key}", metavar="VALUE")
    group.add_argument(
        "--set",
        dest="set" if before_command else "set_after",
        action="append",
        default=[] if before_command else argparse.SUPPRESS,
        metavar="TABLE.KEY=VALUE",
        help=argparse.SUPPRESS if before_command else "override any option, as in runtime.log_level=debug",
    )
    if before_command:
        parser.set_defaults(set_after=[])
