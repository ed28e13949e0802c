"""The program podwright-oci: a sealed interpreter first, then cli.main.

While it sets a process up this program is inside of a container, whose processes may come to have its
executable open (``#!/proc/self/exe``, CVE-2019-5736) and write to it: to the host's Python. So commands that
go in run a Python that nobody can write to: the same file on a private read-only overlay of its directory (no
copy), or a sealed copy in memory. It is started anew for that, without ``site``, at the cost of a start.
"""

import os
import sys

_ENTERING = frozenset(("create", "run", "exec"))
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_PROGRAM = f"import sys; sys.path.insert(0, {_ROOT!r}); from oci.run.cli.main import main; main()"


def main() -> None:
    """Run the command, by a sealed interpreter if it enters a container."""
    if _ENTERING.intersection(sys.argv[1:]):
        from host.sealing import is_sealed, sealed_copy

        if not is_sealed():
            descriptor = sealed_copy(os.path.realpath(sys.executable))
            words = [sys.executable, "-I", "-S", "-c", _PROGRAM, *sys.argv[1:]]
            os.execve(f"/proc/self/fd/{descriptor}", words, os.environ)
    from oci.run.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
