"""The process that host.userns starts to make namespaces: a program of its own, not for import.

    python -I -S userns_helper.py FLAGS [FILE=VALUE …]

Makes the namespaces of FLAGS (CLONE_NEW* bits), waits until its id maps are written, becomes root inside,
writes the values, waits to be ended. One line on standard output after each of the two: ``ok``, or an errno
with, for a value, its number before it. A byte on standard input says when to go on, its end that it is over.
"""

import os
import sys

_USER_ID_INSIDE = 0


def unshare(flags: int) -> int:
    """unshare(2); 0, or the errno."""
    if sys.version_info >= (3, 12):
        try:
            os.unshare(flags)
        except OSError as error:
            return error.errno or 1
        return 0
    import ctypes  # five milliseconds: only where it is needed

    return 0 if ctypes.CDLL(None, use_errno=True).unshare(flags) == 0 else ctypes.get_errno()


def write_values(assignments: list[str]) -> str:
    """Write each value; ``ok``, or the number and the errno of the first that is refused."""
    for index, assignment in enumerate(assignments):
        path, _, value = assignment.partition("=")
        try:
            descriptor = os.open(path, os.O_WRONLY)
            os.write(descriptor, value.encode())
            os.close(descriptor)
        except OSError as error:
            return f"{index} {error.errno}"
    return "ok"


def main() -> None:
    """See above."""
    failed = unshare(int(sys.argv[1]))
    os.write(1, f"{failed}\n".encode() if failed else b"ok\n")
    if failed or not os.read(0, 1):
        return
    # IPC sysctls may be written by the user that the namespace's root is mapped to, whatever others hold.
    os.setgid(_USER_ID_INSIDE)
    os.setuid(_USER_ID_INSIDE)
    os.write(1, f"{write_values(sys.argv[2:])}\n".encode())
    os.read(0, 1)


if __name__ == "__main__":
    try:  # contextlib costs milliseconds
        main()
    except BrokenPipeError:
        pass  # whoever asked for it has ended
