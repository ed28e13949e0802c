"""AppArmor profiles that the kernel has (apparmorfs)."""

from pathlib import Path

SECURITYFS = Path("/sys/kernel/security")


def loaded_profiles(securityfs: Path = SECURITYFS) -> frozenset[str] | None:
    """The names of the loaded profiles; None when they cannot be read (securityfs is not mounted)."""
    try:
        text = (securityfs / "apparmor/profiles").read_text()
    except OSError:
        return None
    # A line is "NAME (MODE)", and a name may have blanks and brackets in it.
    return frozenset(line.rpartition(" (")[0] for line in text.splitlines() if line.endswith(")"))
