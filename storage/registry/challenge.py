"""WWW-Authenticate headers of registries (RFC 9110 §11, distribution's token authentication)."""

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?')
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)(?!=)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme (lower case) with its parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The value of a parameter, "" when it is not given."""
        return dict(self.parameters).get(name, "")


def parse_challenges(header: str) -> list[Challenge]:
    """All challenges of a header; what cannot be read ends the list."""
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters = []
        while parameter := _PARAMETER.match(header, position):
            value = parameter[2] if parameter[2] is not None else parameter[3]
            parameters.append((parameter[1].lower(), re.sub(r"\\(.)", r"\1", value)))
            position = parameter.end()
        found.append(Challenge(match[1].lower(), tuple(parameters)))
    return found
