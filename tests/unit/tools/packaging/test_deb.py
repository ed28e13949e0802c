import subprocess

import pytest

from tools.packaging.deb import depends, maintainer_script, release_suffix
from tools.packaging.layout import CHECKOUT

SCRIPTS = ("postinst", "prerm", "postrm")
TIMEOUT_S = 10


@pytest.mark.parametrize(
    ("release", "suffix"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, "+deb13"),
        ({"ID": "ubuntu", "VERSION_ID": "26.04"}, "+ubu26.04"),
        ({"ID": "debian"}, "+deb"),
    ],
)
def test_packages_of_different_releases_have_different_versions(release: dict[str, str], suffix: str) -> None:
    assert release_suffix(release) == suffix


def test_the_package_is_bound_to_the_python_that_its_modules_are_compiled_for() -> None:
    needed = depends((3, 13), ["libc6 (>= 2.38)"])
    assert needed[:2] == ["python3 (>= 3.13~)", "python3 (<< 3.14)"]
    assert "crun | runc" in needed
    assert "default-dbus-system-bus | dbus-system-bus" in needed
    assert needed[-1] == "libc6 (>= 2.38)"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_maintainer_script_is_a_shell_script(name: str) -> None:
    script = maintainer_script(name)
    assert script.startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n"], input=script, text=True, timeout=TIMEOUT_S, check=True)


def test_purging_brings_its_own_script_whole_and_as_it_stands() -> None:
    purge = (CHECKOUT / "tools/packaging/purge").read_text()
    assert f"<<'EOF'\n{purge}EOF\n" in maintainer_script("postrm")
    assert "EOF" not in purge
