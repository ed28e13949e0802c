from dataclasses import replace

import pytest

from oci.generate.environment import DEFAULT_PATH, environment
from oci.generate.inputs import BadContainer, Defaults, Identity, ImageDefaults
from tests.unit.oci.generate.builders import SANDBOX, a_container


def test_the_request_beats_configuration_which_beats_the_image() -> None:
    container = a_container(
        image=ImageDefaults(env=("A=image", "B=image", "C=image")),
        defaults=Defaults(env=("B=default", "C=default")),
        env=(("C", "request"), ("D", "x=y")),
    )
    values = environment(container)
    assert [entry for entry in values if entry[0] in "ABCD" and entry[1] == "="] == [
        "A=image",
        "B=default",
        "C=request",
        "D=x=y",
    ]


def test_what_programs_expect_is_filled_in() -> None:
    container = a_container(tty=True, identity=Identity(1000, home="/home/a"))
    assert set(environment(container)) == {
        f"PATH={DEFAULT_PATH}",
        "TERM=xterm",
        "HOSTNAME=pod",
        "HOME=/home/a",
    }


def test_nothing_that_was_set_is_replaced() -> None:
    image = ImageDefaults(env=("PATH=/image", "TERM=vt100", "HOME=/image", "HOSTNAME=image"))
    assert environment(a_container(image=image, tty=True)) == [
        "PATH=/image",
        "TERM=vt100",
        "HOSTNAME=image",
        "HOME=/image",
    ]


def test_no_hostname_without_one() -> None:
    container = a_container(sandbox=replace(SANDBOX, hostname=""))
    assert not [entry for entry in environment(container) if entry.startswith("HOSTNAME")]


@pytest.mark.parametrize("pair", [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")])
def test_malformed_variables_are_refused_by_name(pair: tuple[str, str]) -> None:
    with pytest.raises(BadContainer, match="envs"):
        environment(a_container(env=(pair,)))


def test_ten_thousand_variables_are_kept() -> None:
    container = a_container(env=tuple((f"V{i}", str(i)) for i in range(10_000)))
    assert environment(container)[-2] == "V9999=9999"
