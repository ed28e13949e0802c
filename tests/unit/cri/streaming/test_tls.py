import logging
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from cri.streaming.tls import BadTls, TlsFiles, WatchedTls, load, received_context
from tests.harness import processes
from tests.unit.cri.streaming.certificates import Pair, encrypted_key, self_signed


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    pair = self_signed(tmp_path, "server")
    return TlsFiles(pair.certificate, pair.key)


def test_a_pair_makes_a_context(files: TlsFiles) -> None:
    context = load(files)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_a_client_ca_makes_certificates_required(files: TlsFiles) -> None:
    context = load(replace(files, client_ca=files.certificate, minimum_version="VersionTLS13"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("field", "option"),
    [("certificate", "stream_tls_cert"), ("key", "stream_tls_key"), ("client_ca", "stream_tls_ca")],
)
@pytest.mark.parametrize("content", [None, b"", b"no PEM at all"])
def test_an_unusable_file_is_an_error_that_names_the_option(
    files: TlsFiles, tmp_path: Path, field: str, option: str, content: bytes | None
) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    bad = TlsFiles(
        certificate=path if field == "certificate" else files.certificate,
        key=path if field == "key" else files.key,
        client_ca=path if field == "client_ca" else None,
    )
    with pytest.raises(BadTls, match=f"^{option}: .*bad.pem"):
        load(bad)


def test_a_directory_cannot_be_read(files: TlsFiles, tmp_path: Path) -> None:
    with pytest.raises(BadTls, match=r"^stream_tls_key: cannot read"):
        load(replace(files, key=tmp_path))


def test_a_key_of_another_certificate_is_named(files: TlsFiles, tmp_path: Path) -> None:
    with pytest.raises(BadTls, match=r"^stream_tls_key: .* is not the key of"):
        load(replace(files, key=self_signed(tmp_path, "other").key))


def test_an_encrypted_key_does_not_ask_for_its_passphrase(files: TlsFiles, tmp_path: Path) -> None:
    key = encrypted_key(tmp_path, Pair(files.certificate, files.key))
    with pytest.raises(BadTls, match=r"^stream_tls_key: .* is encrypted"):
        load(replace(files, key=key))


def test_an_unknown_version_is_named(files: TlsFiles) -> None:
    with pytest.raises(BadTls, match=r"^tls_min_version: 'VersionTLS10'"):
        load(replace(files, minimum_version="VersionTLS10"))


def test_a_set_is_handed_over_again_only_when_the_files_hold_another(files: TlsFiles, tmp_path: Path) -> None:
    tls = WatchedTls(files)
    assert not tls.changed()
    renewed = self_signed(tmp_path, "renewed")
    renewed.certificate.replace(files.certificate)
    renewed.key.replace(files.key)
    assert tls.changed()
    assert not tls.changed()


def test_unusable_changes_keep_the_old_files_and_are_said_once(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    tls = WatchedTls(files)
    files.certificate.unlink()
    with caplog.at_level(logging.ERROR):
        assert not tls.changed()
        assert not tls.changed()
    assert [record.message.count("stream_tls_cert") for record in caplog.records] == [1]
    message, descriptors = tls.to_message()
    assert received_context(message["tls"], descriptors).cert_store_stats()["x509"] == 0


def test_what_is_handed_over_has_no_name_and_is_closed_by_the_receiver(files: TlsFiles) -> None:
    message, descriptors = WatchedTls(files).to_message()
    assert all(processes.link("self", f"fd/{number}").startswith("/memfd:") for number in descriptors)
    context = received_context(message["tls"], descriptors)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for number in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
