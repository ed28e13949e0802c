"""Completion of ``podwright`` for bash, from the command line's grammar."""

from collections.abc import Iterable

from cri.cli.arguments import parser
from tools.packaging.grammar import Command, commands

# Where the script offers nothing, bash completes names of files.
_SCRIPT = """\
# Completion of podwright(8) for bash; generated.
_podwright() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= words= index
    case $previous in
    {valued}) return ;;
    esac
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${{COMP_WORDS[index]}} in
        {valued}) ((index++)) ;;
        -*) ;;
        *) command+="${{COMP_WORDS[index]}} " ;;
        esac
    done
    case $command in
{cases}
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}}
complete -o default -F _podwright podwright
"""


def bash() -> str:
    """The script for bash-completion's directory."""
    words: dict[tuple[str, ...], list[str]] = {}
    valued: set[str] = set()
    for command in commands(parser()):
        for depth, word in enumerate(command.words):
            words.setdefault(command.words[:depth], []).append(word)
        choices = [choice for each in command.own if not each.is_option for choice in each.choices]
        words[command.words] = [*choices, *_options(command)]
        words |= {(*command.words, choice): _options(command) for choice in choices}
        arguments = (*command.own, *command.common)
        valued |= {name for argument in arguments if argument.value for name in argument.names}
    cases = "\n".join(_case(path, choices) for path, choices in sorted(words.items()))
    return _SCRIPT.format(valued=" | ".join(sorted(valued)), cases=cases)


def _options(command: Command) -> list[str]:
    return [name for argument in (*command.own, *command.common) for name in argument.names[:1]] + ["--help"]


def _case(path: Iterable[str], choices: Iterable[str]) -> str:
    typed = "".join(f"{word} " for word in path)
    return f'    "{typed}") words="{" ".join(dict.fromkeys(choices))}" ;;'
