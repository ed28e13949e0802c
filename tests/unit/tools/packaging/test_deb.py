import subprocess

import pytest

from tools.packaging.deb import depends, maintainer_script, needed_packages, processor_of, release_suffix
from tools.packaging.environment import InstallFailed
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
    assert {"libseccomp2", "gpgv", "nftables"} <= {*needed}
    assert not [name for name in needed if "crun" in name]
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


READELF = """\
 0x0000000000000001 (NEEDED)             Shared library: [libm.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [libstdc++.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-aarch64.so.1]
  000000: Version: 1  File: libc.so.6  Cnt: 2
  0x0010:   Name: GLIBC_2.17  Flags: none  Version: 3
  0x0020:   Name: GLIBC_2.28  Flags: none  Version: 2
  0x0030:   Name: GLIBCXX_3.4.21  Flags: none  Version: 2
"""


def test_libraries_of_another_architecture_are_found_in_the_modules_themselves() -> None:
    assert needed_packages(READELF) == {"libc6 (>= 2.28)", "libstdc++6"}


def test_a_library_that_no_known_package_has_is_named() -> None:
    with pytest.raises(InstallFailed, match=r"libssl\.so\.3"):
        needed_packages(READELF.replace("libm.so.6", "libssl.so.3"))


def test_an_architecture_without_wheels_is_refused() -> None:
    assert processor_of("arm64") == "aarch64"
    with pytest.raises(InstallFailed, match="amd64 or arm64, not riscv64"):
        processor_of("riscv64")
