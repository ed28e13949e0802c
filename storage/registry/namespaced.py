"""Credentials that a provider leaves for one pull of one namespace (CRI-O's crio-credential-provider).

    <namespaced_auth_dir>/<namespace>-<sha256 of the name without tag, hex>.json     an auth.json

The file is read and removed at once, so that nothing of it stays; it stands alone, as a file of a pod's own.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from host.files import FileTooLarge, read_bounded
from storage.reference import Reference
from storage.registry.auth import BadAuthFile

_FILE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class AuthText:
    """What an auth file said, and where; its content is kept out of ``repr``."""

    source: str
    data: bytes = field(repr=False)


def take(directory: Path, namespace: str, reference: str) -> AuthText | None:
    """The file that is there for this pull, which is gone then; None without one. Blocking.

    Raises:
        InvalidReference: of ``reference``.
        BadAuthFile: the file cannot be read.
    """
    name = Reference.parse(reference).name
    if not namespace or "/" in namespace or "\0" in namespace:
        return None
    path = directory / f"{namespace}-{hashlib.sha256(name.encode()).hexdigest()}.json"
    try:
        data = read_bounded(path, _FILE_LIMIT)
        path.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except FileTooLarge as error:
        raise BadAuthFile(str(error)) from error
    except OSError as error:
        raise BadAuthFile(f"{path}: {error.strerror}") from error
    return AuthText(str(path), data)
