"""TLS of the streaming server from files that may change under it.

The daemon looks at the files now and then, and hands what a changed set holds to the streaming process, which
cannot read them itself: copies in memory, without a name. A set that cannot be loaded leaves the last good
one in use and is reported once.
"""

import logging
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from api.errors import InvalidArgument
from host.fds import close_all

if TYPE_CHECKING:
    from conf.schema import ApiTable

logger = logging.getLogger(__name__)

_VERSIONS: Final = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}


class BadTls(InvalidArgument):
    """A certificate, key, CA or version cannot be used; the text begins with the option's name."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; with ``client_ca`` clients must show a certificate signed by it."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    minimum_version: str = "VersionTLS12"

    @classmethod
    def of(cls, table: "ApiTable") -> Self | None:
        """Those that are configured; None when TLS is off.

        Raises:
            BadTls: TLS is switched on without a certificate or key.
        """
        if not table.stream_enable_tls:
            return None
        if table.stream_tls_cert is None or table.stream_tls_key is None:
            raise BadTls("stream_tls_cert and stream_tls_key must be set when stream_enable_tls is")
        return cls(table.stream_tls_cert, table.stream_tls_key, table.stream_tls_ca, table.tls_min_version)

    def all(self) -> list[Path]:
        """Those that are set."""
        return [self.certificate, self.key, *([self.client_ca] if self.client_ca else [])]


def load(files: TlsFiles) -> ssl.SSLContext:
    """A context of what the files hold now.

    Raises:
        BadTls: names the option at fault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _minimum_version(files.minimum_version)
    context.set_alpn_protocols(["http/1.1"])
    _read("stream_tls_cert", files.certificate)
    _read("stream_tls_key", files.key)
    _load_chain(context, files)
    if files.client_ca is not None:
        _load_client_ca(context, files.client_ca)
    return context


def _minimum_version(name: str) -> ssl.TLSVersion:
    try:
        return _VERSIONS[name]
    except KeyError:
        raise BadTls(f"tls_min_version: {name!r} is not one of {', '.join(_VERSIONS)}") from None


def _read(option: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise BadTls(f"{option}: cannot read {path}: {error.strerror}") from None


def _load_chain(context: ssl.SSLContext, files: TlsFiles) -> None:
    def no_password() -> str:
        raise BadTls(f"stream_tls_key: {files.key} is encrypted; a key without a passphrase is needed")

    try:
        context.load_cert_chain(files.certificate, files.key, password=no_password)
    except (ssl.SSLError, OSError) as error:
        raise _chain_error(files, error) from None


def _chain_error(files: TlsFiles, error: OSError) -> BadTls:
    """OpenSSL does not say which of the two files it could not read, so the certificate is tried alone."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return BadTls(f"stream_tls_key: {files.key} is not the key of stream_tls_cert {files.certificate}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(files.certificate)
    except (ssl.SSLError, OSError):
        return BadTls(f"stream_tls_cert: {files.certificate} holds no usable PEM certificate")
    return BadTls(f"stream_tls_key: {files.key} holds no usable PEM private key")


def _load_client_ca(context: ssl.SSLContext, path: Path) -> None:
    _read("stream_tls_ca", path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError):
        raise BadTls(f"stream_tls_ca: {path} holds no usable PEM certificate") from None
    context.verify_mode = ssl.CERT_REQUIRED


class WatchedTls:
    """The files on the daemon's side. Calls read files: keep them off the event loop."""

    def __init__(self, files: TlsFiles) -> None:
        """
        Raises:
            BadTls: they cannot be used.
        """
        self._files = files
        self._seen = _fingerprint(files)
        load(files)
        self._held = _contents(files)

    def changed(self) -> bool:
        """Whether the files hold another set than before that can be used."""
        fingerprint = _fingerprint(self._files)
        if fingerprint == self._seen:
            return False
        self._seen = fingerprint
        try:
            load(self._files)
            self._held = _contents(self._files)
        except (BadTls, OSError) as error:
            logger.error("streaming TLS files changed and are not usable, the old ones stay error=%s", error)
            return False
        logger.info("streaming TLS files reloaded certificate=%s", self._files.certificate)
        return True

    def to_message(self) -> tuple[dict[str, Any], list[int]]:
        """What the process is told of the last good set, and copies of it, which are the caller's."""
        said = {"minimum_version": self._files.minimum_version}
        descriptors: list[int] = []
        try:
            for content in self._held:
                descriptors.append(_copy(content))
        except BaseException:
            close_all(descriptors)
            raise
        return {"tls": said}, descriptors


def received_context(said: dict[str, Any], descriptors: Sequence[int]) -> ssl.SSLContext:
    """The same on the side of the streaming process: a context of the copies, which are closed.

    Raises:
        BadTls: they cannot be used.
    """
    try:
        certificate, key, *more = (Path(f"/proc/self/fd/{descriptor}") for descriptor in descriptors)
        return load(TlsFiles(certificate, key, more[0] if more else None, said["minimum_version"]))
    finally:
        close_all(descriptors)


def _contents(files: TlsFiles) -> list[bytes]:
    return [path.read_bytes() for path in files.all()]


def _copy(content: bytes) -> int:
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _fingerprint(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(path) for path in files.all())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()  # follows links, as volumes with certificates change by swapping one
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size
