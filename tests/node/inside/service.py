"""systemd's view of the machine, by systemctl."""

import subprocess
from dataclasses import dataclass

from tests.harness.patience import patient

ENDPOINT = "unix:///run/podwright/podwright.sock"
TIMEOUT_S = patient(60)


def run(*argv: str) -> str:
    """A command that must succeed; its standard output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{argv}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit by its name."""

    name: str

    def __getitem__(self, key: str) -> str:
        """One of its properties, "" if it has no such."""
        return run("systemctl", "show", "--value", f"--property={key}", self.name).strip()

    def do(self, verb: str) -> None:
        """start, stop, restart, reload."""
        run("systemctl", verb, self.name)

    @property
    def pid(self) -> int:
        return int(self["MainPID"])


def units() -> set[str]:
    """The slices, scopes and services that are loaded, whatever their state, but for sessions."""
    kinds = "--type=slice,scope,service"
    lines = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", kinds).splitlines()
    return {line.split()[0] for line in lines}
