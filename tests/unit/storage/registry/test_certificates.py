"""certs.d: what counts, and what is said of files that cannot be used."""

import ssl
from pathlib import Path

import pytest

from storage.registry.certificates import BadCertificate, examine, has_certificates, tls_context
from tests.unit.cri.streaming.certificates import Pair, encrypted_key, self_signed

HOST = "reg.test:5000"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "certs.d" / HOST
    made.mkdir(parents=True)
    return made


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return self_signed(tmp_path, "pair")


def test_authorities_count_beside_those_of_the_system(place: Path, pair: Pair) -> None:
    (place / "ca.crt").write_bytes(pair.certificate.read_bytes())
    context = tls_context(HOST, [place.parent], verify=True)
    assert ssl.PEM_cert_to_DER_cert(pair.certificate.read_text()) in context.get_ca_certs(binary_form=True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert has_certificates(HOST, [place.parent])
    assert not has_certificates("other.test", [place.parent])


def test_a_stranger_can_name_no_other_path(place: Path) -> None:
    assert not has_certificates(f"../certs.d/{HOST}", [place.parent])


def test_good_files_are_no_trouble(place: Path, pair: Pair) -> None:
    (place / "ca.crt").write_bytes(pair.certificate.read_bytes())
    (place / "client.cert").write_bytes(pair.certificate.read_bytes())
    (place / "client.key").write_bytes(pair.key.read_bytes())
    tls_context(HOST, [place.parent], verify=True)
    assert examine([place.parent, place / "none"]) == ([place], [])


def nothing_in_it(place: Path, pair: Pair) -> None:
    (place / "ca.crt").write_text("")


def der(place: Path, pair: Pair) -> None:
    (place / "ca.crt").write_bytes(ssl.PEM_cert_to_DER_cert(pair.certificate.read_text()))


def a_directory(place: Path, pair: Pair) -> None:
    (place / "ca.crt").mkdir()


def no_key(place: Path, pair: Pair) -> None:
    (place / "client.cert").write_bytes(pair.certificate.read_bytes())


def another_key(place: Path, pair: Pair) -> None:
    no_key(place, pair)
    (place / "client.key").write_bytes(self_signed(place.parent.parent, "other").key.read_bytes())


def locked_key(place: Path, pair: Pair) -> None:
    no_key(place, pair)
    (place / "client.key").write_bytes(encrypted_key(place.parent.parent, pair).read_bytes())


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (nothing_in_it, "ca.crt is no authority: there is no certificate in PEM in it"),
        (der, "ca.crt is no authority: there is no certificate in PEM in it"),
        (a_directory, "ca.crt"),
        (no_key, "client.cert or client.key cannot be read: No such file or directory"),
        (another_key, "client.cert and client.key are not what they must be: "),
        (locked_key, "both in PEM, without a passphrase"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(place: Path, pair: Pair, made: object, words: str) -> None:
    assert callable(made)
    made(place, pair)
    with pytest.raises(BadCertificate) as caught:
        tls_context(HOST, [place.parent], verify=True)
    assert words in str(caught.value)
    assert str(place) in str(caught.value)
    assert examine([place.parent]) == ([place], [str(caught.value)])


def test_what_is_never_looked_at_is_told(place: Path) -> None:
    (place / "client.key").touch()
    url = place.parent / "my registry"
    url.mkdir()
    assert examine([place.parent])[1] == [
        f"{url} is not named as a registry is, HOST or HOST:PORT",
        f"{place}/client.key has no client.cert beside it, and is not used",
    ]
