"""The command line's grammar as plain values, for the manual page and shell completion."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from cri.cli.arguments import COMMON


@dataclass(frozen=True, slots=True)
class Argument:
    """An option with its names, or a positional argument without any; ``value`` is empty for a switch.

    ``choices`` are all the values that it can have; empty where there are many.
    """

    names: tuple[str, ...]
    value: str
    text: str
    choices: tuple[str, ...] = ()

    @property
    def is_option(self) -> bool:
        return bool(self.names)


@dataclass(frozen=True, slots=True)
class Command:
    """A command by its words, ``("image", "pull")``, with its own arguments and those that many have."""

    words: tuple[str, ...]
    text: str
    own: tuple[Argument, ...]
    common: tuple[Argument, ...]


def commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = (), text: str = ""
) -> Iterator[Command]:
    """The commands below ``parser`` in the order of its text; one that only has commands is left out."""
    # argparse has no public way to look at a grammar; these attributes have not changed since it exists.
    subparsers = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for action in subparsers:
        texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, subparser in action.choices.items():
            if name in texts:  # others are aliases
                yield from commands(subparser, (*words, name), texts[name])
    if words and not subparsers:
        groups = {group.title: group._group_actions for group in parser._action_groups}
        common = groups.pop(COMMON, [])
        own = [action for actions in groups.values() for action in actions]
        yield Command(words, text, _arguments(own), _arguments(common))


def _arguments(actions: list[argparse.Action]) -> tuple[Argument, ...]:
    return tuple(
        Argument(tuple(action.option_strings), _value(action), action.help or "", _choices(action))
        for action in actions
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    )


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is None and action.choices:
        return "{" + "|".join(_choices(action)) + "}"
    return str(action.metavar or action.dest.upper())


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return tuple(map(str, action.choices or ()))
