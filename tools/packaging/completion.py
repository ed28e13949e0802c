"""Completion of ``podwright`` for bash, from the command line's grammar."""

from collections.abc import Iterable

from cri.cli.arguments import parser
from tools.packaging.grammar import Command, commands

_SCRIPT = """\
# Completion of podwright(8) for bash; generated.
_podwright() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= index
    case $previous in
    {files}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    {values}) return ;;
    esac
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
        {files} | {values}) ((index++)) ;;
        -*) ;;
        *) command+="${{COMP_WORDS[index]}} " ;;
        esac
    done
    case $command in
{cases}
    *) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -F _podwright podwright
"""
_FILE_VALUES = ("FILE", "DIR")


def bash() -> str:
    """The script for bash-completion's directory."""
    every = list(commands(parser()))
    valued = {
        (name, argument.value)
        for command in every
        for argument in (*command.own, *command.common)
        for name in argument.names
        if argument.value
    }
    words: dict[tuple[str, ...], list[str]] = {}
    for command in every:
        for depth, word in enumerate(command.words):
            words.setdefault(command.words[:depth], []).append(word)
        words[command.words] = _options(command)
    return _SCRIPT.format(
        files=" | ".join(sorted(name for name, value in valued if value in _FILE_VALUES)),
        values=" | ".join(sorted(name for name, value in valued if value not in _FILE_VALUES)),
        cases="\n".join(_case(path, choices) for path, choices in sorted(words.items())),
    )


def _options(command: Command) -> list[str]:
    return [name for argument in (*command.own, *command.common) for name in argument.names[:1]] + ["--help"]


def _case(path: Iterable[str], choices: Iterable[str]) -> str:
    typed = "".join(f"{word} " for word in path)
    return f'    "{typed}") local words="{" ".join(dict.fromkeys(choices))}" ;;'
