"""Certificates for tests, made by the openssl command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key as PEM files."""

    certificate: Path
    key: Path


def self_signed(directory: Path, name: str) -> Pair:
    """For the name and 127.0.0.1; its own CA."""
    pair = Pair(directory / f"{name}.crt", directory / f"{name}.key")
    files = ("-out", str(pair.certificate), "-keyout", str(pair.key))
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    _openssl("req", "-x509", *_EC, "-nodes", "-days", "2", *names, *files)
    return pair


def encrypted_key(directory: Path, pair: Pair) -> Path:
    """The pair's key under a passphrase."""
    path = directory / "encrypted.key"
    _openssl("ec", "-in", str(pair.key), "-aes256", "-passout", "pass:secret", "-out", str(path))
    return path


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
