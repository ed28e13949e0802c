"""The AppArmor profile that comes with Podwright, as data (conf/apparmor.profile)."""

from importlib import resources

NAME = "podwright-default"
# Names under which the built-in profile is loaded when they are configured: ours, and what an existing
# crio.conf says.
BUILT_IN = frozenset({NAME, "crio-default"})


def default_profile(name: str = NAME) -> str:
    """The text for apparmor_parser(8) of the built-in profile, called ``name``."""
    text = (resources.files("conf") / "apparmor.profile").read_text()
    return text.replace("@NAME@", name)
