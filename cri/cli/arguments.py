"""The command line's grammar, and its options as overrides of the configuration."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.load import Loaded, load, parse_override

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
NODE_CONFIG_TOOLS = ("kubeadm", "kubelet", "kind", "minikube", "crictl")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``command`` names the module of cri.cli to run."""
    return parser().parse_args(argv)


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
    top = argparse.ArgumentParser(
        prog="podwright",
        description="A Kubernetes container runtime (CRI v1). COMMAND --help shows a command's options.",
    )
    _add_configuration(top, before_command=True)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_configuration(commands.add_parser("serve", help="run the daemon"))
    config = commands.add_parser("config", help="show what differs from the defaults")
    config.add_argument("--default", action="store_true", help="a commented sample with every option instead")
    _add_configuration(config)
    _add_configuration(commands.add_parser("check", help="examine this host and say what will work"))
    _add_configuration(commands.add_parser("ops", help="show what the running daemon is doing now"))
    version = commands.add_parser("version", help="print the version")
    version.add_argument("--json", action="store_true", help="as JSON, with what it runs on")
    _add_image(commands.add_parser("image", help="work on the image store"))
    monitor = commands.add_parser("monitor", help="work on the process that watches containers")
    actions = monitor.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_configuration(actions.add_parser("upgrade", help="replace it in place by this version"))
    _add_node_config(commands.add_parser("node-config", help="print what a tool needs to use this runtime"))
    return top


def _add_image(image: argparse.ArgumentParser) -> None:
    actions = image.add_subparsers(dest="action", required=True, metavar="ACTION")
    imported = actions.add_parser("import", help="take images from an archive")
    imported.add_argument("file", type=Path, help="docker or OCI archive; - is standard input")
    imported.add_argument("--name", help="name for an image whose archive gives none")
    listed = actions.add_parser("list", help="list the images")
    pull = actions.add_parser("pull", help="fetch an image from its registry")
    pull.add_argument("image", help="name, with a tag or digest")
    remove = actions.add_parser("remove", help="remove an image with all its names")
    remove.add_argument("image", help="id, name or digest")
    for action in (imported, listed, pull, remove):
        _add_configuration(action)


def _add_node_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tool", choices=NODE_CONFIG_TOOLS, help="whose files to print")
    parser.add_argument("--write", type=Path, metavar="DIR", help="put the files into a directory instead")
    joining = parser.add_argument_group("joining a cluster, as `kubeadm init` prints it (kubeadm only)")
    joining.add_argument("--join", metavar="HOST:PORT", help="the API server")
    joining.add_argument("--token", help="bootstrap token")
    joining.add_argument("--discovery-token-ca-cert-hash", metavar="sha256:HASH", help="of its authority")
    _add_configuration(parser)


def _add_configuration(parser: argparse.ArgumentParser, *, before_command: bool = False) -> None:
    """The options that name or override the configuration, allowed before and after the command.

    After it they have no defaults, or the absence of an option there would undo what stood before; and
    --set has a list of its own there, since a subparser begins its lists anew.
    """
    default = None if before_command else argparse.SUPPRESS
    group = parser.add_argument_group("configuration")

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
