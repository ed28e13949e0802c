"""The AppArmor profile that comes with Podwright, as data (conf/apparmor.profile)."""

from pathlib import Path

NAME = "podwright-default"
# Names under which the built-in profile is loaded when they are configured: ours, and what an existing
# crio.conf says.
BUILT_IN = frozenset({NAME, "crio-default"})


def default_profile(name: str = NAME) -> str:
    """The text for apparmor_parser(8) of the built-in profile, called ``name``."""
    text = Path(__file__).with_name("apparmor.profile").read_text()
    return text.replace("@NAME@", name)
