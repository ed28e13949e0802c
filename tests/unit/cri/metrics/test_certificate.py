"""A certificate for the metrics server where none is."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from conf.schema import MetricsTable
from cri.metrics import certificate
from cri.metrics.endpoint import MetricsNotServed, server_tls


def table(directory: Path) -> MetricsTable:
    return replace(MetricsTable(), metrics_cert=directory / "a/cert.pem", metrics_key=directory / "a/key.pem")


async def test_a_missing_certificate_is_made_with_its_key_for_root_alone(tmp_path: Path) -> None:
    wanted = table(tmp_path)
    assert certificate.is_missing(wanted)
    assert await certificate.make_if_missing(wanted)
    assert isinstance(server_tls(wanted, "VersionTLS12"), ssl.SSLContext)
    assert (tmp_path / "a/key.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["cert.pem", "key.pem"]


async def test_what_is_there_stays(tmp_path: Path) -> None:
    wanted = table(tmp_path)
    await certificate.make_if_missing(wanted)
    before = (tmp_path / "a/cert.pem").read_bytes()
    assert not await certificate.make_if_missing(wanted)
    (tmp_path / "a/key.pem").unlink()  # one of two is a mistake, and no reason to replace the other
    assert not await certificate.make_if_missing(wanted)
    assert (tmp_path / "a/cert.pem").read_bytes() == before


async def test_without_names_nothing_is_made() -> None:
    assert not await certificate.make_if_missing(MetricsTable())


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(MetricsNotServed, match=f"metrics_cert {tmp_path}/a/cert.pem cannot be made"):
        await certificate.make_if_missing(table(tmp_path))


async def test_without_openssl_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MetricsNotServed, match="apt install openssl"):
        await certificate.make_if_missing(table(tmp_path))
