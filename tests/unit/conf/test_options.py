from dataclasses import dataclass, field

from conf.options import Option, option, options_of


@dataclass(frozen=True, slots=True)
class Sub:
    depth: int = option(1, "How deep.", unit="m")


@dataclass(frozen=True, slots=True)
class Top:
    name: str = option("x", "A name.", reload=True)
    sub: Sub = field(default_factory=Sub)
    size: int = option(3, "A size.", own=True)


def test_an_option_is_a_field_with_its_default() -> None:
    assert Top() == Top("x", Sub(1), 3)


def test_options_come_in_order_and_without_tables() -> None:
    assert options_of(Top) == {"name": Option("A name.", reload=True), "size": Option("A size.", own=True)}
    assert options_of(Sub)["depth"].unit == "m"
