"""Where podwright-oci begins: whoever is about to enter a container is sealed first (host/sealed.py)."""

import os
import sys
from typing import NoReturn

_ENTERING = frozenset({"create", "run", "exec", "restore"})


def main() -> NoReturn:
    """See oci.run.cli.main.main."""
    # Words of other kinds that are the same cost an execution, no more.
    if not _ENTERING.isdisjoint(sys.argv[1:]):
        from host.sealed import execute_sealed

        try:
            execute_sealed(sys.orig_argv, os.environ)
        except OSError as error:
            sys.exit(f"podwright-oci cannot keep its own program from a container: {error}")
    from oci.run.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
