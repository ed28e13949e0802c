"""policy.json (containers-policy.json(5)): what must be signed, by whom, and what is let in or kept out.

A file is taken whole or not at all: a key that is unknown, missing, written twice or of another type refuses
it, as the libraries of podman and CRI-O do. ``sigstoreBundle`` is a requirement of our own, which those
refuse: it belongs into a file that only Podwright reads (docs/signatures.md).

Without a file every image is accepted, unless the file was asked for by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from host.files import FileTooLarge, read_bounded
from storage.digest import Digest
from storage.reference import Reference
from storage.signatures.errors import BadPolicy, SignatureValidationFailed
from storage.signatures.identities import Identity, MatchRepoDigestOrExact, parse_identity
from storage.signatures.requirements import (
    SIGN_PREDICATE,
    Accept,
    BundleSigned,
    Claim,
    Fulcio,
    Material,
    Pki,
    Reject,
    Requirement,
    SignedBy,
    SigstoreSigned,
    Unsatisfiable,
)
from storage.signatures.scopes import DOCKER, of_image, require_scope
from storage.signatures.strict import Malformed, Table, document

_FILE_LIMIT = 4 << 20
_VALUES = 200_000
_LIST_LIMIT = 1000
_URI_ENDS = ("/", "@")


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds for one image, and where that is written."""

    requirements: tuple[Requirement, ...]
    where: str

    @property
    def wants_signatures(self) -> bool:
        """Whether there is anything to be looked for."""
        return any(isinstance(each, SignedBy | SigstoreSigned | BundleSigned) for each in self.requirements)

    def wants(self, kind: type[Requirement]) -> bool:
        """Whether one of the requirements is of this kind."""
        return any(isinstance(each, kind) for each in self.requirements)


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole file; ``digest`` is that of its bytes, None when there is none."""

    default: tuple[Requirement, ...] = (Accept(),)
    transports: Mapping[str, Mapping[str, tuple[Requirement, ...]]] = field(default_factory=dict)
    source: str = "no policy"
    digest: Digest | None = None

    @classmethod
    def load(cls, path: Path, *, needed: bool = False) -> "Policy":
        """Read a file; one that is not there accepts everything, unless it is ``needed``. Blocking.

        Raises:
            BadPolicy: it is needed and missing, cannot be read, or is no policy.
        """
        try:
            data = read_bounded(path, _FILE_LIMIT)
        except FileTooLarge as error:
            raise BadPolicy(str(error)) from error
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not needed:
                return cls()
            raise BadPolicy(f"policy {path} cannot be read: {error.strerror}") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, source: str) -> "Policy":
        """Read a file's content.

        Raises:
            BadPolicy: naming ``source``.
        """
        try:
            table = document(data, "the policy", values=_VALUES)
            default = _requirements(table.take("default"), "default")
            transports = _transports(table.take("transports") if "transports" in table else {})
            table.end()
            return cls(default, transports, source, Digest.of(data))
        except Malformed as error:
            raise BadPolicy(f"invalid policy in {source}: {error}") from error

    def ruling(self, reference: Reference) -> Ruling:
        """What holds for an image of a registry; of tag and digest the digest counts."""
        return self.ruling_for(DOCKER, of_image(reference.with_default_tag()))

    def ruling_for(self, transport: str, scopes: Iterator[str]) -> Ruling:
        """What holds for an image of a transport that has these scopes, the most specific first."""
        written = self.transports.get(transport, {})
        for scope in (*scopes, ""):
            if scope in written:
                return Ruling(written[scope], f"{self.source}, {transport}, scope {scope!r}")
        return Ruling(self.default, f"{self.source}, default")

    def check(self, reference: Reference) -> None:
        """Refuse early what no signature can let in.

        Raises:
            SignatureValidationFailed: it is rejected, or nothing can satisfy a requirement.
        """
        ruling = self.ruling(reference)
        for requirement in ruling.requirements:
            if isinstance(requirement, Reject):
                raise SignatureValidationFailed(f"running image {reference} is rejected by {ruling.where}")
            if isinstance(requirement, Unsatisfiable):
                raise SignatureValidationFailed(
                    f"{reference}: {ruling.where}: {requirement} cannot be satisfied: {requirement.why}"
                )

    def unsatisfiable(self) -> Iterator[str]:
        """The scopes, "" for all others, whose images are refused since nobody can do what is asked."""
        for scope, wanted in {"": self.default, **self.transports.get(DOCKER, {})}.items():
            if any(isinstance(each, Unsatisfiable) for each in wanted):
                yield scope

    def materials(self) -> Iterator[Material]:
        """All keys and certificates that the file names."""
        for requirement in self._all():
            yield from _materials(requirement)

    def wants(self, kind: type[Requirement]) -> bool:
        """Whether a requirement of this kind stands anywhere in the file."""
        return any(isinstance(each, kind) for each in self._all())

    def _all(self) -> Iterator[Requirement]:
        yield from self.default
        for scopes in self.transports.values():
            for wanted in scopes.values():
                yield from wanted


def _materials(requirement: Requirement) -> Iterator[Material]:
    match requirement:
        case SignedBy(keys=keys):
            yield keys
        case SigstoreSigned(signer=signer, rekor=rekor):
            if isinstance(signer, Material):
                yield signer
            else:
                yield signer.roots
            if isinstance(signer, Pki):
                yield signer.intermediates
            if rekor is not None:
                yield rekor
        case BundleSigned(signer=signer, trusted_root=root):
            if isinstance(signer, Material):
                yield signer
            if root is not None:
                yield root


def _transports(value: object) -> dict[str, dict[str, tuple[Requirement, ...]]]:
    result: dict[str, dict[str, tuple[Requirement, ...]]] = {}
    for transport, scopes in Table(value, "transports").rest().items():
        found = {}
        for scope, wanted in Table(scopes, f"transports: {transport}").rest().items():
            require_scope(transport, scope)
            found[scope] = _requirements(wanted, f"{transport}: {scope!r}")
        result[transport] = found
    return result


def _requirements(value: object, what: str) -> tuple[Requirement, ...]:
    if not isinstance(value, list) or not value:
        raise Malformed(f"{what} is no list of one requirement or more")
    if len(value) > _LIST_LIMIT:
        raise Malformed(f"{what} has more than {_LIST_LIMIT} requirements")
    return tuple(_requirement(Table(each, f"{what}[{number}]")) for number, each in enumerate(value))


def _requirement(table: Table) -> Requirement:
    kind = table.text("type")
    read = _KINDS.get(kind)
    if read is None:
        raise Malformed(f"{table.what}: unknown type {kind!r}")
    table.what += f" {kind}"
    requirement = read(table)
    table.end()
    return requirement


def _identity(table: Table) -> Identity:
    return (
        parse_identity(table.table("signedIdentity"))
        if "signedIdentity" in table
        else MatchRepoDigestOrExact()
    )


_UNIMPLEMENTED = frozenset({"signedByGPGKeys", "X509Certificates", "signedByX509CAs"})


def _signed_by(table: Table) -> Requirement:
    kind = table.text("keyType")
    keys = _material(table, _sources("key", data_list=False))
    identity = _identity(table)
    if kind in _UNIMPLEMENTED:
        return Unsatisfiable("signedBy", f'keyType "{kind}" is implemented nowhere; write "GPGKeys"')
    if kind != "GPGKeys":
        raise Malformed(f"{table.what}: unknown keyType {kind!r}")
    assert keys is not None
    return SignedBy(keys, identity)


def _signed_base_layer(table: Table) -> Requirement:
    parse_identity(table.table("baseLayerIdentity"))
    return Unsatisfiable("signedBaseLayer", "it is implemented nowhere")


def _sigstore_signed(table: Table) -> Requirement:
    keys = _sources("key")
    found = table.one_of((*keys, "fulcio", "pki"))
    signer: Material | Fulcio | Pki | None
    if found == "fulcio":
        signer = _fulcio(table.table("fulcio"))
    elif found == "pki":
        signer = _pki(table.table("pki"))
    else:
        signer = _material(table, keys)
    assert signer is not None
    rekor = _material(table, _sources("rekorPublicKey"), needed=False)
    if isinstance(signer, Fulcio) and rekor is None:
        raise Malformed(
            f"{table.what}: fulcio needs a rekorPublicKey beside it, which says when it was signed"
        )
    if isinstance(signer, Pki) and rekor is not None:
        raise Malformed(f"{table.what}: pki and rekorPublicKey exclude one another")
    return SigstoreSigned(signer, rekor, _identity(table))


def _fulcio(table: Table) -> Fulcio:
    roots = _material(table, {"caPath": "path", "caData": "data"})
    assert roots is not None
    found = Fulcio(roots, _filled(table, "oidcIssuer"), _filled(table, "subjectEmail"))
    table.end()
    return found


def _pki(table: Table) -> Pki:
    roots = _material(table, {"caRootsPath": "path", "caRootsData": "data"})
    assert roots is not None
    between = _material(table, {"caIntermediatesPath": "path", "caIntermediatesData": "data"}, needed=False)
    email = _filled(table, "subjectEmail") if "subjectEmail" in table else ""
    hostname = _filled(table, "subjectHostname") if "subjectHostname" in table else ""
    if not (email or hostname):
        raise Malformed(f"{table.what} has neither subjectEmail nor subjectHostname")
    table.end()
    return Pki(roots, between or Material(), email, hostname)


def _bundle(table: Table) -> Requirement:
    keys = _sources("key")
    signer: Material | Claim | None
    if table.one_of((*keys, "certificate")) == "certificate":
        signer = _claim(table.table("certificate"))
    else:
        signer = _material(table, keys)
    assert signer is not None
    root = _material(table, {"trustedRootPath": "path", "trustedRootData": "data"}, needed=False)
    by_certificate = isinstance(signer, Claim)
    if by_certificate and root is None:
        raise Malformed(f"{table.what}: certificate needs a trusted root: trustedRootPath or trustedRootData")
    log = table.flag("transparencyLog", root is not None)
    if log and root is None:
        raise Malformed(f"{table.what}: transparencyLog needs a trusted root, which names the log's key")
    certificate_log = table.flag("certificateLog", by_certificate)
    if certificate_log and not by_certificate:
        raise Malformed(f"{table.what}: certificateLog is about certificates, and there are keys")
    predicate = _filled(table, "predicateType") if "predicateType" in table else SIGN_PREDICATE
    return BundleSigned(signer, root, log, certificate_log, predicate)


def _claim(table: Table) -> Claim:
    issuer = _filled(table, "oidcIssuer")
    kinds: tuple[Literal["subjectEmail", "subjectURI", "subjectURIPrefix"], ...]
    kinds = ("subjectEmail", "subjectURI", "subjectURIPrefix")
    found = table.one_of(kinds)
    [kind] = [each for each in kinds if each == found]
    subject = _filled(table, kind)
    if kind == "subjectURIPrefix" and not subject.endswith(_URI_ENDS):
        # Else https://host/team would let in what https://host/team-of-others signs.
        raise Malformed(f"{table.what}: subjectURIPrefix {subject!r} does not end with / or @")
    table.end()
    return Claim(issuer, kind, subject)


def _filled(table: Table, key: str) -> str:
    text = table.text(key)
    if not text:
        raise Malformed(f"{table.what}: {key} is empty")
    return text


_Form = Literal["path", "paths", "data", "datas"]


def _sources(name: str, *, data_list: bool = True) -> dict[str, _Form]:
    found: dict[str, _Form] = {f"{name}Path": "path", f"{name}Paths": "paths", f"{name}Data": "data"}
    return {**found, f"{name}Datas": "datas"} if data_list else found


def _material(table: Table, keys: Mapping[str, _Form], *, needed: bool = True) -> Material | None:
    """What exactly one of the keys says; None if there is none of them and none is needed."""
    key = table.one_of(keys, needed=needed)
    if key is None:
        return None
    match keys[key]:
        case "path":
            return Material(paths=(Path(_filled(table, key)),))
        case "paths":
            return Material(paths=tuple(map(Path, table.texts(key))))
        case "data":
            return Material(data=(table.data(key),))
        case "datas":
            return Material(data=table.datas(key))


_KINDS: Mapping[str, Callable[[Table], Requirement]] = {
    "insecureAcceptAnything": lambda _: Accept(),
    "reject": lambda _: Reject(),
    "signedBy": _signed_by,
    "signedBaseLayer": _signed_base_layer,
    "sigstoreSigned": _sigstore_signed,
    "sigstoreBundle": _bundle,
}
