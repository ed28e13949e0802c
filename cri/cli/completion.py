"""``podwright completion``: completion for bash, zsh and fish, from the command line's grammar.

All three work alike: the words before the cursor, without options and their values, are the command; for each
command there is a list of words. Where the script offers nothing, the shell completes names of files.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cri.cli.arguments import parser
from cri.cli.grammar import Argument, Command, commands
from cri.cli.output import say_lines

_BASH = """\
# Completion of podwright(8) for bash; generated.
_podwright() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command= words= index
    case $previous in
{choices}
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

_ZSH = """\
#compdef podwright
# Completion of podwright(8) for zsh; generated.
_podwright() {{
    local previous=$words[CURRENT-1] command= index
    local -a offered
    case $previous in
{choices}
    ({valued}) _files; return ;;
    esac
    for ((index = 2; index < CURRENT; index++)); do
        case $words[index] in
        ({valued}) ((index++)) ;;
        (-*) ;;
        (*) command+="$words[index] " ;;
        esac
    done
    case $command in
{cases}
    esac
    _describe podwright offered || _files
}}
if [ "$funcstack[1]" = _podwright ]; then
    _podwright "$@"
elif (( $+functions[compdef] )); then
    compdef _podwright podwright
fi
"""

_FISH = """\
# Completion of podwright(8) for fish; generated.
function __podwright_command
    set -l words (commandline -opc)
    set -e words[1]
    set -l found
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case {valued}
                set skip 1
            case '-*'
            case '*'
                set -a found $word
        end
    end
    test "$found" = "$argv"
end
{lines}
"""


@dataclass
class _Offers:
    """What may follow which command, as (word, help), and which options take a value."""

    after: dict[tuple[str, ...], list[tuple[str, str]]] = field(default_factory=dict)
    valued: dict[str, tuple[str, ...]] = field(default_factory=dict)  # name to choices

    def add(self, command: Command) -> None:
        """Everything about one command."""
        for depth, word in enumerate(command.words):
            last = depth == len(command.words) - 1
            self._offer(command.words[:depth], word, command.text if last else f"{word} commands")
        arguments = (*command.own, *command.common)
        options = [*_options(arguments), ("--help", "show the options of the command")]
        choices = [choice for each in command.own if not each.is_option for choice in each.choices]
        for choice in choices:
            self._offer(command.words, choice, "")
            self.after[*command.words, choice] = options
        for name, text in options:
            self._offer(command.words, name, text)
        self.valued |= {name: each.choices for each in arguments if each.value for name in each.names}

    def _offer(self, path: tuple[str, ...], word: str, text: str) -> None:
        known = self.after.setdefault(path, [])
        if word not in (each for each, _ in known):
            known.append((word, text))

    def choices(self) -> Mapping[tuple[str, ...], list[str]]:
        """The values of options that have but a few, and the options that have these."""
        found: dict[tuple[str, ...], list[str]] = {}
        for name, values in sorted(self.valued.items()):
            if values:
                found.setdefault(values, []).append(name)
        return found


def run(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    say_lines({"bash": bash, "zsh": zsh, "fish": fish}[arguments.shell]())
    return 0


def bash() -> str:
    """The script for bash-completion's directory."""
    offers = _offers()
    cases = "\n".join(
        f'    "{_typed(path)}") words="{" ".join(word for word, _ in words)}" ;;'
        for path, words in sorted(offers.after.items())
    )
    choices = "\n".join(
        f"    {' | '.join(names)}) mapfile -t COMPREPLY < <(compgen -W '{' '.join(values)}' -- \"$word\")\n"
        "        return ;;"
        for values, names in offers.choices().items()
    )
    return _BASH.format(valued=" | ".join(sorted(offers.valued)), cases=cases, choices=choices)


def zsh() -> str:
    """The file _podwright of zsh's site-functions."""
    offers = _offers()
    cases = "\n".join(
        f'    ("{_typed(path)}") offered=({" ".join(_quoted(_described(*each)) for each in words)}) ;;'
        for path, words in sorted(offers.after.items())
    )
    choices = "\n".join(
        f"    ({'|'.join(names)}) offered=({' '.join(values)}); _describe value offered; return ;;"
        for values, names in offers.choices().items()
    )
    return _ZSH.format(valued="|".join(sorted(offers.valued)), cases=cases, choices=choices)


def fish() -> str:
    """The file podwright.fish of fish's vendor completions."""
    offers = _offers()
    lines = []
    for path, words in sorted(offers.after.items()):
        condition = _quoted(f"__podwright_command {' '.join(path)}".rstrip())
        for word, text in words:
            what = _fish_option(word, offers) if word.startswith("-") else f"-f -a {_quoted(word)}"
            lines.append(f"complete -c podwright -n {condition} {what} {_note(text)}")
    valued = " ".join(sorted(offers.valued))
    return _FISH.format(valued=valued, lines="\n".join(line.rstrip() for line in lines))


def _fish_option(name: str, offers: _Offers) -> str:
    kind = f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-s {name.removeprefix('-')}"
    values = offers.valued.get(name)
    if values is None:
        return kind
    return f"{kind} -x -a {_quoted(' '.join(values))}" if values else f"{kind} -r"


def _note(text: str) -> str:
    return f"-d {_quoted(text)}" if text else ""


def _offers() -> _Offers:
    offers = _Offers()
    for command in commands(parser()):
        offers.add(command)
    return offers


def _options(arguments: Iterable[Argument]) -> list[tuple[str, str]]:
    return [(name, argument.text) for argument in arguments for name in argument.names[:1]]


def _typed(path: Iterable[str]) -> str:
    return "".join(f"{word} " for word in path)


def _described(word: str, text: str) -> str:
    return f"{word}:{text}" if text else word


def _quoted(text: str) -> str:
    """In single quotes, for zsh and fish alike: a quotation mark itself is left and taken up again."""
    return "'" + text.replace("\\", "\\\\").replace("'", "'\\''") + "'"
