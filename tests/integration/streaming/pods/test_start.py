"""Starts that cannot succeed: one line that names the option, exit code 1."""

import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon, Settings, Value
from tests.unit.cri.streaming.certificates import Pair, encrypted_key, self_signed

pytestmark = pytest.mark.root

START_TIMEOUT_S = 60
Refusal = Callable[[Mapping[str, Value]], str]


@pytest.fixture
def refusal() -> Iterator[Refusal]:
    """The one line that ``podwright serve`` ends with when [crio.api] has these keys."""
    with ExitStack() as stack:

        def served(keys: Mapping[str, Value]) -> str:
            daemon = Daemon(Settings(tables={"crio.api": keys}))
            stack.callback(daemon.teardown)
            done = subprocess.run(
                daemon.command("serve"),
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT_S,
                check=False,
                cwd=daemon.state,
            )
            assert done.returncode == 1, done.stderr
            assert "Traceback" not in done.stderr
            assert not (daemon.runroot / "podwright.sock").exists()
            # Before it stand the log, and for an option that is wrong in itself a heading.
            return done.stderr.splitlines()[-1]

        yield served


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return self_signed(tmp_path, "server")


def test_a_busy_port(refusal: Refusal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal({"stream_port": str(port)}) == (
            f"podwright: stream_address, stream_port: cannot listen on 127.0.0.1 port {port}: "
            "Address already in use"
        )


def test_an_address_of_another_host(refusal: Refusal) -> None:
    said = refusal({"stream_address": "203.0.113.1"})
    assert said.startswith("podwright: stream_address, stream_port: cannot listen on 203.0.113.1")
    assert said.endswith("Cannot assign requested address")


@pytest.mark.parametrize(("key", "value"), [("stream_address", "localhost"), ("stream_port", "65536")])
def test_what_is_no_address_or_port(refusal: Refusal, key: str, value: str) -> None:
    assert f"crio.api.{key}: " in refusal({key: value})


def tls(certificate: Path, key: Path, **more: Value) -> dict[str, Value]:
    return {
        "stream_enable_tls": True,
        "stream_tls_cert": str(certificate),
        "stream_tls_key": str(key),
        **more,
    }


def test_tls_without_files(refusal: Refusal) -> None:
    assert "crio.api.stream_enable_tls: needs stream_tls_cert and stream_tls_key" in refusal(
        {"stream_enable_tls": True}
    )


def test_a_certificate_that_is_none(refusal: Refusal, pair: Pair) -> None:
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    assert refusal(tls(pair.certificate, pair.key)) == (
        f"podwright: stream_tls_cert: {pair.certificate} holds no usable PEM certificate"
    )


def test_an_absent_certificate(refusal: Refusal, pair: Pair, tmp_path: Path) -> None:
    absent = tmp_path / "absent.crt"
    assert refusal(tls(absent, pair.key)) == (
        f"podwright: stream_tls_cert: cannot read {absent}: No such file or directory"
    )


def test_an_unreadable_key(refusal: Refusal, pair: Pair, tmp_path: Path) -> None:
    # Root may read every file, so what cannot be read here is a directory.
    directory = tmp_path / "key"
    directory.mkdir()
    assert refusal(tls(pair.certificate, directory)) == (
        f"podwright: stream_tls_key: cannot read {directory}: Is a directory"
    )


def test_an_encrypted_key(refusal: Refusal, pair: Pair, tmp_path: Path) -> None:
    key = encrypted_key(tmp_path, pair)
    said = refusal(tls(pair.certificate, key))
    assert said.startswith(f"podwright: stream_tls_key: {key} is encrypted")


def test_a_key_of_another_certificate(refusal: Refusal, pair: Pair, tmp_path: Path) -> None:
    other = self_signed(tmp_path, "other")
    said = refusal(tls(pair.certificate, other.key))
    assert said.startswith(f"podwright: stream_tls_key: {other.key} is not the key of")


def test_an_unusable_ca(refusal: Refusal, pair: Pair, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("")
    said = refusal(tls(pair.certificate, pair.key, stream_tls_ca=str(authority)))
    assert said == f"podwright: stream_tls_ca: {authority} holds no usable PEM certificate"
