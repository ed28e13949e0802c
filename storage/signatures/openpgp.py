"""Verify an OpenPGP message against keys, by gpgv: no packet is read in this process.

gpgv runs in a directory of its own with nothing but the keys, for a bounded time, processor time, memory and
output: a message may be one that grows a thousandfold when it is unpacked. Its words on the status descriptor
(GnuPG doc/DETAILS) are believed only when they tell of one text and one good signature, and of nothing else.
"""

import asyncio
import base64
import binascii
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from host.processes import CommandNotStarted, CommandTimedOut, run
from storage.signatures.errors import NotAccepted, TrustUnavailable
from storage.signatures.evidence import OPENPGP

CONTENT_LIMIT = 1 << 20
_TIMEOUT_S = 20.0
_CPU_S = 10
_MEMORY_BYTES = 1 << 30
_STATUS_LIMIT = 64 << 10
_KEYRINGS = 64
_PREFIX = "[GNUPG:] "
_PACKAGES = {"gpgv": "gpgv", "prlimit": "util-linux"}
_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
# Packets "public key" with which a keyring begins (RFC 4880, 4.2 and 5.5.1.1).
_PUBLIC_KEY = frozenset({0x98, 0x99, 0x9A, 0x9B, 0xC6})
# RFC 4880, 9.4: SHA-256, 384, 512, 224; MD5, SHA-1 and RIPE-MD can be made to collide, or nearly so.
_HASHES = frozenset({"8", "9", "10", "11"})
_ONCE = ("NEWSIG", "GOODSIG", "VALIDSIG", "PLAINTEXT")
_NEVER = frozenset(
    {"BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "UNEXPECTED", "FAILURE", "ERROR",
     "NO_PUBKEY", "BADARMOR", "BADMDC", "DECRYPTION_FAILED", "KEYREVOKED"}
)  # fmt: skip
_REASONS = {
    "NO_PUBKEY": "it is by a key that is not among those trusted",
    "ERRSIG": "it is by a key that is not among those trusted",
    "BADSIG": "its signature is wrong",
    "EXPSIG": "it has expired",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "KEYREVOKED": "its key was revoked",
    "NODATA": "it is no signed OpenPGP message",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """What a good signature covers, and the fingerprint of the primary key that it is by."""

    content: bytes
    fingerprint: str


def keyring(data: bytes, what: str) -> bytes:
    """Keys as gpgv reads them: binary, from whichever form; several blocks are several keys.

    Raises:
        TrustUnavailable: there is no key in it.
    """
    blocks = _ARMOR.findall(data)
    found = b"".join(_unarmored(block, what) for block in blocks) if blocks else data
    if not found or found[0] not in _PUBLIC_KEY:
        raise TrustUnavailable(f"{what}: no public OpenPGP key is in it")
    return found


def _unarmored(block: bytes, what: str) -> bytes:
    """The bytes of an armored block: headers end with an empty line, and a line with = is the checksum."""
    lines = [line.strip() for line in block.splitlines()]
    body = lines[lines.index(b"") + 1 :] if b"" in lines and any(b":" in line for line in lines) else lines
    try:
        return base64.b64decode(b"".join(line for line in body if not line.startswith(b"=")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrustUnavailable(f"{what}: its armor is damaged") from error


def missing_programs(which: Callable[[str], str | None] = shutil.which) -> Mapping[str, str]:
    """Programs that simple signatures need and that are not there, with the packages that have them."""
    return {program: package for program, package in _PACKAGES.items() if which(program) is None}


async def verify(message: bytes, keys: Sequence[bytes]) -> Signed:
    """What one key among the ``keys`` (of ``keyring``) signed.

    Raises:
        NotAccepted: it is no message with exactly one signature that holds.
        TrustUnavailable: gpgv is missing, or could not be run.
    """
    if not message or message[0] not in OPENPGP:  # gpgv takes clear-signed and armored text too
        raise NotAccepted("invalid signature: it is no binary OpenPGP message")
    program, limiter = shutil.which("gpgv"), shutil.which("prlimit")
    if program is None or limiter is None:
        raise TrustUnavailable("simple signatures need gpgv and prlimit: install gpgv and util-linux")
    if len(keys) > _KEYRINGS:
        raise TrustUnavailable(f"more than {_KEYRINGS} files of keys")
    home = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="podwright-gpgv-"))
    try:
        names = await asyncio.to_thread(_write, home, keys)
        bounds = [f"--fsize={CONTENT_LIMIT}", f"--cpu={_CPU_S}", f"--as={_MEMORY_BYTES}", "--core=0"]
        options = ["--homedir", str(home), "--status-fd", "1", "--output", str(home / "content")]
        rings = [option for name in names for option in ("--keyring", name)]
        try:
            ended = await run(
                [limiter, *bounds, program, *options, *rings, "-"],
                stdin=message,
                timeout_s=_TIMEOUT_S,
                output_limit=_STATUS_LIMIT,
            )
        except CommandTimedOut as error:
            raise NotAccepted("invalid signature: gpgv did not end in time") from error
        except CommandNotStarted as error:
            raise TrustUnavailable(str(error)) from error
        if ended.truncated:
            raise NotAccepted("invalid signature: gpgv tells too much of it")
        fingerprint = fingerprint_of(ended.stdout, ended.returncode)
        return Signed(await asyncio.to_thread((home / "content").read_bytes), fingerprint)
    finally:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


def _write(home: Path, keys: Sequence[bytes]) -> list[str]:
    names = []
    for number, data in enumerate(keys):
        path = home / f"keys-{number}.gpg"
        path.write_bytes(data)
        names.append(str(path))
    return names


def fingerprint_of(status: bytes, returncode: int) -> str:
    """The primary key by which gpgv's words say that the message is signed.

    Raises:
        NotAccepted: they do not say so beyond doubt.
    """
    words = [
        line.removeprefix(_PREFIX).split(" ")
        for line in status.decode("ascii", "replace").split("\n")
        if line.startswith(_PREFIX)
    ]
    names = [each[0] for each in words]
    if refused := [name for name in names if name in _NEVER]:
        reason = next((_REASONS[name] for name in refused if name in _REASONS), "it is damaged")
        raise NotAccepted(f"invalid signature: {reason}")
    if returncode != 0 or any(names.count(name) != 1 for name in _ONCE):
        raise NotAccepted("invalid signature: it is not one message with one good signature")
    [valid] = [each for each in words if each[0] == "VALIDSIG"]
    if len(valid) != 11 or valid[8] not in _HASHES or valid[9] not in ("00", "01"):
        raise NotAccepted("invalid signature: it is of a class, or by a hash, that is not accepted")
    return valid[10].upper()
