"""Where an installation has what: absolute paths, as they are once DESTDIR is in its place."""

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class BadLayout(ValueError):
    """A directory of the layout cannot be used."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of an installation.

    Attributes:
        prefix: Programs and what they need.
        sysconfdir: Configuration. The daemon looks in /etc unless it is told otherwise.
        unitdir: Units of systemd.
    """

    prefix: Path
    sysconfdir: Path
    unitdir: Path

    @classmethod
    def parse(cls, prefix: str, sysconfdir: str = "/etc", unitdir: str = "") -> "Layout":
        """Take the texts of the command line; an empty ``unitdir`` is the one of ``prefix``.

        Raises:
            BadLayout: one is not absolute, or no interpreter line can hold it.
        """
        unitdir = unitdir or f"{prefix}/lib/systemd/system"
        for name, text in (("PREFIX", prefix), ("SYSCONFDIR", sysconfdir), ("UNITDIR", unitdir)):
            if not text.startswith("/") or ".." in Path(text).parts or text.split() != [text]:
                raise BadLayout(f"{name} must be an absolute path without spaces, not {text!r}")
        return cls(Path(prefix), Path(sysconfdir), Path(unitdir))

    @property
    def environment(self) -> Path:
        """The virtual environment, with the manifest and the purge script."""
        return self.prefix / "lib/podwright"

    @property
    def manifest(self) -> Path:
        return self.environment / "manifest"

    @property
    def bindir(self) -> Path:
        return self.prefix / "bin"

    @property
    def mandir(self) -> Path:
        return self.prefix / "share/man"

    @property
    def docdir(self) -> Path:
        return self.prefix / "share/doc/podwright"

    @property
    def completions(self) -> Path:
        return self.prefix / "share/bash-completion/completions"

    @property
    def zsh_functions(self) -> Path:
        """Debian's zsh looks in vendor-completions for packages, in site-functions for what is local."""
        name = "vendor-completions" if self.prefix == Path("/usr") else "site-functions"
        return self.prefix / "share/zsh" / name

    @property
    def fish_completions(self) -> Path:
        return self.prefix / "share/fish/vendor_completions.d"

    @property
    def tmpfiles(self) -> Path:
        return self.prefix / "lib/tmpfiles.d"

    @property
    def sysusers(self) -> Path:
        return self.prefix / "lib/sysusers.d"

    @property
    def configuration(self) -> Path:
        return self.sysconfdir / "podwright/podwright.conf"

    def owns(self, path: Path) -> bool:
        """Whether a directory is Podwright's alone."""
        own = (self.environment, self.docdir, self.configuration.parent)
        return any(path.is_relative_to(each) for each in own)


def below(root: Path, path: Path) -> Path:
    """Where ``path`` of the installation lies while it is made in ``root``, or with that DESTDIR."""
    return root / path.relative_to("/")
