"""zsh and fish, which complete commands, from Debian's packages; unpacked, never installed."""

from pathlib import Path

from tests.harness.debian import unpacked

ZSH = ("zsh", "zsh-common")
FISH = ("fish", "fish-common", "libpcre2-32-0")


def zsh() -> Path:
    """The tree with it; the first call needs the network."""
    return unpacked(ZSH)[0]


def fish() -> Path:
    """The same."""
    return unpacked(FISH)[0]
