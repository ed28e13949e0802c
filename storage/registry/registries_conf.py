"""registries.conf (containers-registries.conf(5)): mirrors, rewrites, blocks and short names.

The file belongs to podman and skopeo as well, so what they tolerate is tolerated: unknown keys and
version 1 of the format are remarks. What they refuse is an error of every pull, since nobody can
know what the file would have blocked. ``Registries.load`` reads the file and ``<file>.d/*.conf``; ``sources``
says where a reference is to be asked for, in order; ``candidates`` what a short name may mean.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.errors import InvalidArgument, PermissionDenied
from host.files import FileTooLarge, read_bounded
from storage.reference import DOCKER_HUB, InvalidReference, Reference

_FILE_LIMIT = 1 << 20
_TOP_KEYS = frozenset(
    {"unqualified-search-registries", "short-name-mode", "registry", "aliases", "credential-helpers",
     "additional-layer-store-auth-helper"}
)  # fmt: skip
_VERSION_2_KEYS = frozenset({"unqualified-search-registries", "registry"})
_REGISTRY_KEYS = frozenset({"prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"})
_MIRROR_KEYS = frozenset({"location", "insecure", "pull-from-mirror"})


class BadRegistriesConf(InvalidArgument):
    """registries.conf cannot be read, or has a value that it must not have."""


class RegistryBlocked(PermissionDenied):
    """registries.conf forbids pulling from there."""


class AmbiguousShortName(InvalidArgument):
    """A short name could mean several images and no alias decides."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Another place to ask; ``pull_from`` is "all", "digest-only" or "tag-only"."""

    location: str
    insecure: bool = False
    pull_from: str = "all"


@dataclass(frozen=True, slots=True)
class RegistryRule:
    """One [[registry]] table."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()


@dataclass(frozen=True, slots=True)
class PullSource:
    """One place to ask for an image: where it is there, and whether TLS may be weak or missing."""

    host: str
    repository: str
    insecure: bool
    is_mirror: bool


@dataclass(frozen=True, slots=True)
class Registries:
    """All of registries.conf and its drop-ins; the empty value is what holds without any file."""

    rules: tuple[RegistryRule, ...] = ()
    search: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    enforcing: bool = True
    insecure: frozenset[str] = frozenset()
    helpers: tuple[str, ...] = ("containers-auth.json",)  # who is asked for credentials, in order
    remarks: tuple[str, ...] = field(default=(), compare=False)  # what was passed over, a line each

    @classmethod
    def load(
        cls,
        path: Path,
        directory: Path | None = None,
        *,
        enforcing: bool = True,
        insecure: Iterable[str] = (),
    ) -> "Registries":
        """Read the file and its drop-in directory (None: ``<path>.d``); neither need be there. Blocking.

        ``insecure`` are hosts (host[:port]) that may be spoken to without TLS, whatever the files say.

        Raises:
            BadRegistriesConf: naming file, table and key.
        """
        drop_ins = sorted((directory or path.with_name(path.name + ".d")).glob("*.conf"))
        result = cls(enforcing=enforcing, insecure=frozenset(insecure))
        for file in (path, *drop_ins):
            try:
                data = read_bounded(file, _FILE_LIMIT)
            except FileNotFoundError:
                continue
            except FileTooLarge as error:
                raise BadRegistriesConf(str(error)) from error
            except OSError as error:
                raise BadRegistriesConf(f"{file}: {error.strerror}") from error
            result = result.merged(data, str(file))
        return result

    def merged(self, data: bytes, source: str) -> "Registries":
        """This with a further file's content on top: its rules replace those of the same prefix."""
        remarks: list[str] = []
        document = _parse(data, source, remarks)
        rules = {rule.prefix: rule for rule in self.rules}
        for table in _tables(document, "registry", source):
            rule = _rule(table, f"{source}: [[registry]]", remarks)
            rules[rule.prefix] = rule
        result = replace(self, rules=tuple(rules.values()), remarks=(*self.remarks, *remarks))
        if "unqualified-search-registries" in document:
            search = _list_of_strings(document, "unqualified-search-registries", source)
            result = replace(result, search=search)
        if helpers := _list_of_strings(document, "credential-helpers", source):
            result = replace(result, helpers=helpers)
        aliases = document.get("aliases")
        if isinstance(aliases, dict):
            result = replace(result, aliases={**self.aliases, **{k: str(v) for k, v in aliases.items()}})
        mode = document.get("short-name-mode")
        if mode is not None:
            if mode not in ("enforcing", "permissive", "disabled"):
                raise BadRegistriesConf(
                    f"{source}: short-name-mode is {mode!r}, not enforcing, permissive or disabled"
                )
            # Permissive asks at a terminal and otherwise goes on: a daemon has no terminal.
            result = replace(result, enforcing=mode == "enforcing")
        return result

    def candidates(self, reference: Reference) -> list[Reference]:
        """What a reference may mean, in the order to try; itself when it names a registry."""
        if not reference.is_short:
            return [reference]
        alias = self.aliases.get(reference.repository)
        if alias:
            target = _alias_target(reference.repository, alias)
            return [replace(target, tag=reference.tag, digest=reference.digest)]
        return [reference.qualified(registry) for registry in self.search or (DOCKER_HUB,)]

    def resolve(self, reference: Reference) -> list[Reference]:
        """As ``candidates``, for a pull.

        Raises:
            AmbiguousShortName: several registries could be meant and the mode is enforcing.
        """
        found = self.candidates(reference)
        if len(found) > 1 and self.enforcing:
            names = ", ".join(str(candidate) for candidate in found)
            raise AmbiguousShortName(
                f"short name {str(reference)!r} is ambiguous ({names}); write the registry, add an alias "
                'to registries.conf, or set short-name-mode = "disabled"'
            )
        return found

    def sources(self, reference: Reference) -> list[PullSource]:
        """Where to ask for a qualified reference: mirrors first, the location itself last.

        Raises:
            RegistryBlocked: a rule forbids it.
        """
        found = self._sources(reference)
        return [replace(source, insecure=source.insecure or source.host in self.insecure) for source in found]

    def _sources(self, reference: Reference) -> list[PullSource]:
        rule = self.rule_for(reference)
        if rule is None:
            return [PullSource(reference.registry, reference.repository, insecure=False, is_mirror=False)]
        if rule.blocked:
            raise RegistryBlocked(f"{reference}: registries.conf blocks {rule.prefix}")
        by_digest = reference.digest is not None
        unwanted = "tag-only" if by_digest else "digest-only"
        found = [
            _source(rule, mirror.location, reference, mirror.insecure, is_mirror=True)
            for mirror in rule.mirrors
            if mirror.pull_from != unwanted
        ]
        return [*found, _source(rule, rule.location, reference, rule.insecure, is_mirror=False)]

    def is_insecure(self, host: str) -> bool:
        """Whether host[:port] is listed as one that may be spoken to without TLS, or unverified."""
        if host in self.insecure:
            return True
        rules = [(rule.location or rule.prefix, rule.insecure) for rule in self.rules]
        mirrors = [(mirror.location, mirror.insecure) for rule in self.rules for mirror in rule.mirrors]
        return any(insecure and _is_at(location, host) for location, insecure in (*rules, *mirrors))

    def rule_for(self, reference: Reference) -> RegistryRule | None:
        """The rule with the longest prefix that covers the reference."""
        matching = [rule for rule in self.rules if _match_length(rule.prefix, reference)]
        return max(matching, key=lambda rule: _match_length(rule.prefix, reference), default=None)


def _is_at(location: str, host: str) -> bool:
    if location.startswith("*."):
        return host.partition(":")[0].endswith(location[1:])
    return location.partition("/")[0] == host


def _match_length(prefix: str, reference: Reference) -> int:
    """How much of the reference a prefix covers; 0 when it does not."""
    if prefix.startswith("*."):
        return len(prefix) if reference.registry.partition(":")[0].endswith(prefix[1:]) else 0
    text = str(reference)
    if not text.startswith(prefix):
        return 0
    return len(prefix) if text[len(prefix) : len(prefix) + 1] in ("", "/", ":", "@") else 0


def _source(
    rule: RegistryRule, location: str, reference: Reference, insecure: bool, *, is_mirror: bool
) -> PullSource:
    covered = reference.registry if rule.prefix.startswith("*.") else rule.prefix
    name = (location or covered) + reference.name[len(covered) :]
    host, _, repository = name.partition("/")
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return PullSource(host, repository, insecure, is_mirror)


def _alias_target(name: str, alias: str) -> Reference:
    try:
        target = Reference.parse(alias)
    except InvalidReference as error:
        raise BadRegistriesConf(f"alias of {name}: {error}") from error
    if target.is_short or target.tag or target.digest:
        raise BadRegistriesConf(f"alias of {name}: {alias!r} must name a registry and no tag or digest")
    return target


def _parse(data: bytes, source: str, remarks: list[str]) -> Mapping[str, Any]:
    """The document in version 2 of the format; what was passed over goes into ``remarks``."""
    try:
        document: Mapping[str, Any] = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRegistriesConf(f"{source}: {error}") from error
    if "registries" in document:
        document = _from_version_1(document, source, remarks)
    _pass_over_unknown(document, _TOP_KEYS, source, remarks)
    return document


def _from_version_1(document: Mapping[str, Any], source: str, remarks: list[str]) -> Mapping[str, Any]:
    """The tables ``search``, ``insecure`` and ``block`` of [registries] as version 2 writes them."""
    tables = document["registries"]
    rest = {key: value for key, value in document.items() if key != "registries"}
    if not isinstance(tables, dict) or rest.keys() & _VERSION_2_KEYS:
        raise BadRegistriesConf(
            f"{source}: [registries.*] is version 1 of the format and stands beside version 2"
        )
    remarks.append(f"{source}: [registries.*] is version 1 of the format; write version 2 soon")

    def hosts(name: str) -> tuple[str, ...]:
        table = tables.get(name, {})
        if not isinstance(table, dict):
            raise BadRegistriesConf(f"{source}: registries.{name} must be a table")
        return _list_of_strings(table, "registries", f"{source}: [registries.{name}]") if table else ()

    rules: dict[str, dict[str, Any]] = {}
    for host in hosts("insecure"):
        rules.setdefault(host, {"location": host})["insecure"] = True
    for host in hosts("block"):
        rules.setdefault(host, {"location": host})["blocked"] = True
    return {**rest, "unqualified-search-registries": [*hosts("search")], "registry": [*rules.values()]}


def _rule(table: Mapping[str, Any], where: str, remarks: list[str]) -> RegistryRule:
    _pass_over_unknown(table, _REGISTRY_KEYS, where, remarks)
    location = _location(table, where)
    prefix = _text(table, "prefix", where) or location
    if not prefix:
        raise BadRegistriesConf(f"{where}: needs location or prefix")
    if not location and not prefix.startswith("*."):
        location = prefix
    digest_only = _flag(table, "mirror-by-digest-only", where)
    mirrors = tuple(
        _mirror(mirror, digest_only, f"{where} {prefix} [[registry.mirror]]", remarks)
        for mirror in _tables(table, "mirror", where)
    )
    return RegistryRule(
        prefix.rstrip("/"), location, _flag(table, "insecure", where), _flag(table, "blocked", where), mirrors
    )


def _mirror(table: Mapping[str, Any], digest_only: bool, where: str, remarks: list[str]) -> Mirror:
    _pass_over_unknown(table, _MIRROR_KEYS, where, remarks)
    location = _location(table, where)
    if not location:
        raise BadRegistriesConf(f"{where}: needs location")
    pull_from = _text(table, "pull-from-mirror", where) or ("digest-only" if digest_only else "all")
    if pull_from not in ("all", "digest-only", "tag-only"):
        raise BadRegistriesConf(
            f"{where}: pull-from-mirror is {pull_from!r}, not all, digest-only or tag-only"
        )
    if digest_only and pull_from != "digest-only":
        raise BadRegistriesConf(f"{where}: pull-from-mirror contradicts mirror-by-digest-only = true")
    return Mirror(location, _flag(table, "insecure", where), pull_from)


def _location(table: Mapping[str, Any], where: str) -> str:
    location = _text(table, "location", where).rstrip("/")
    if "://" in location:
        raise BadRegistriesConf(
            f"{where}: location {location!r} must not have a scheme; insecure = true allows http"
        )
    return location


def _pass_over_unknown(
    table: Mapping[str, Any], known: Iterable[str], where: str, remarks: list[str]
) -> None:
    for key in sorted(set(table) - set(known)):
        remarks.append(f"{where}: unknown key {key!r} is passed over; known are {', '.join(sorted(known))}")


def _tables(table: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRegistriesConf(f"{where}: {key} must be written [[…{key}]]")
    return value


def _list_of_strings(table: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRegistriesConf(f"{where}: {key} must be a list of strings")
    return tuple(value)


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise BadRegistriesConf(f"{where}: {key} must be a string")
    return value


def _flag(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BadRegistriesConf(f"{where}: {key} must be true or false")
    return value
