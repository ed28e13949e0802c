"""``podwright node-config``: the files and flags with which other tools use this node's runtime."""

import argparse
from pathlib import Path

from api.errors import InvalidArgument
from cri.cli.arguments import load_configuration
from cri.cli.nodeconfig import crictl, kind, kubeadm, kubelet, minikube
from cri.cli.nodeconfig.facts import Facts, gather
from cri.cli.nodeconfig.files import File, printed, write
from cri.cli.output import say, say_lines, show, warn


class OnlyForKubeadm(InvalidArgument):
    """A node joins through kubeadm alone."""


def run(arguments: argparse.Namespace) -> int:
    """Print the files for one tool, or write them; warnings go to standard error.

    Raises:
        InvalidArgument: The options do not go together, or one has another form.
        FileDiffers: A file to write is there with another content.
    """
    loaded = load_configuration(arguments)
    for warning in loaded.warnings:
        warn(f"warning: {warning}")
    made = files(arguments, gather(loaded.config, ranges=arguments.tool == "kubeadm"))
    if arguments.write is None:
        if arguments.output == "table":
            say_lines(printed(made))
        else:
            show(arguments.output, {file.name: file.text for file in made}, ())
        return 0
    directory: Path = arguments.write
    for path in write(made, directory):
        say(str(path))
    return 0


def files(arguments: argparse.Namespace, facts: Facts) -> list[File]:
    """The files for the tool that the command line names."""
    given = [arguments.join, arguments.token, arguments.discovery_token_ca_cert_hash]
    if arguments.tool == "kubeadm":
        join = kubeadm.Join.parse(*(text or "" for text in given)) if any(given) else None
        return kubeadm.files(facts, join)
    if any(given):
        raise OnlyForKubeadm("--join and what belongs to it go with kubeadm alone")
    return {
        "crictl": crictl.files,
        "kind": kind.files,
        "kubelet": kubelet.files,
        "minikube": minikube.files,
    }[arguments.tool](facts)
