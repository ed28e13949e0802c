"""storage/digest: the form of a digest and the chain of layers."""

import pytest

from storage.digest import Digest, InvalidDigest, chain_ids

HEX = "ab" * 32


def test_a_digest_reads_back_as_it_was_written() -> None:
    assert str(Digest.parse(f"sha256:{HEX}")) == f"sha256:{HEX}"
    assert Digest.of(b"").hex.startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        "sha256:",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"sha512:{HEX}",
        f"sha256:{HEX}\n",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidDigest):
        Digest.parse(text)


def test_the_chain_of_one_layer_is_the_layer_and_order_matters() -> None:
    one, two = Digest.of(b"1"), Digest.of(b"2")
    assert chain_ids(()) == ()
    assert chain_ids((one,)) == (one,)
    assert chain_ids((one, two)) == (one, Digest.of(f"{one} {two}".encode()))
    assert chain_ids((one, two))[1] != chain_ids((two, one))[1]
