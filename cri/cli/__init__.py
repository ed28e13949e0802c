"""The ``podwright`` command."""

from cri.cli.main import main

__all__ = ["main"]
