import argparse

from cri.cli.arguments import parser
from cri.cli.grammar import Argument, Command, commands


def _small() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser()
    verbs = top.add_subparsers(dest="command")
    image = verbs.add_parser("image", help="work on images").add_subparsers(dest="action")
    pull = image.add_parser("pull", help="fetch one")
    pull.add_argument("name", help="its name")
    pull.add_argument("kind", choices=("oci", "docker"), help="its kind")
    pull.add_argument("--digest", metavar="sha256:HASH", help="its digest")
    pull.add_argument("--quiet", "-q", action="store_true", help="say nothing")
    pull.add_argument("--hidden", help=argparse.SUPPRESS)
    pull.add_argument_group("configuration").add_argument("--config", metavar="FILE", help="a file")
    return top


def test_a_command_has_its_words_its_arguments_and_the_common_ones() -> None:
    assert list(commands(_small())) == [
        Command(
            words=("image", "pull"),
            text="fetch one",
            own=(
                Argument((), "NAME", "its name"),
                Argument((), "{oci|docker}", "its kind", ("oci", "docker")),
                Argument(("--digest",), "sha256:HASH", "its digest"),
                Argument(("--quiet", "-q"), "", "say nothing"),
            ),
            common=(Argument(("--config",), "FILE", "a file"),),
        )
    ]


def test_every_command_of_podwright_is_found() -> None:
    found = {" ".join(command.words) for command in commands(parser())}
    assert {"serve", "config", "check", "ops", "version", "image import", "image pull"} <= found
    assert "image" not in found
