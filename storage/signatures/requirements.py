"""What a policy may require of an image, as parsed; files are read when they are needed, not here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from host.files import FileTooLarge, read_bounded
from storage.signatures.errors import TrustUnavailable
from storage.signatures.identities import Identity, MatchRepoDigestOrExact

_FILE_LIMIT = 1 << 20
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True, slots=True)
class Material:
    """Keys or certificates: in files, or in the policy itself."""

    paths: tuple[Path, ...] = ()
    data: tuple[bytes, ...] = ()

    def read(self) -> list[tuple[str, bytes]]:
        """All of it, each with what messages call it. Blocking.

        Raises:
            TrustUnavailable: one of the files cannot be read.
        """
        found = [("data in the policy", data) for data in self.data]
        for path in self.paths:
            try:
                found.append((str(path), read_bounded(path, _FILE_LIMIT)))
            except FileTooLarge as error:
                raise TrustUnavailable(str(error)) from error
            except OSError as error:
                raise TrustUnavailable(f"{path}: {error.strerror}") from error
        return found

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths)) or "keys in the policy"


@dataclass(frozen=True, slots=True)
class Accept:
    """insecureAcceptAnything."""

    def __str__(self) -> str:
        return "insecureAcceptAnything"


@dataclass(frozen=True, slots=True)
class Reject:
    """reject."""

    def __str__(self) -> str:
        return "reject"


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """A form that the format has and no implementation can fulfil: it refuses every image."""

    kind: str
    why: str

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A simple signature by one of the OpenPGP keys."""

    keys: Material
    identity: Identity = field(default_factory=MatchRepoDigestOrExact)

    def __str__(self) -> str:
        return f"signedBy {self.keys}"


@dataclass(frozen=True, slots=True)
class Fulcio:
    """Certificates of a Fulcio: its roots, and whom the certificate must name."""

    roots: Material
    issuer: str
    email: str


@dataclass(frozen=True, slots=True)
class Pki:
    """Certificates of an authority of one's own."""

    roots: Material
    intermediates: Material
    email: str
    hostname: str


@dataclass(frozen=True, slots=True)
class SigstoreSigned:
    """A sigstore attachment by one of the keys, or by a certificate; ``rekor`` keys want a log's promise."""

    signer: Material | Fulcio | Pki
    rekor: Material | None = None
    identity: Identity = field(default_factory=MatchRepoDigestOrExact)

    def __str__(self) -> str:
        match self.signer:
            case Fulcio(email=email):
                return f"sigstoreSigned by {email}"
            case Pki(email=email, hostname=hostname):
                return f"sigstoreSigned by {' and '.join(filter(None, (email, hostname)))}"
            case _:
                return f"sigstoreSigned {self.signer}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What the certificate of a bundle must say: its issuer, and one name of its subject."""

    issuer: str
    kind: Literal["subjectEmail", "subjectURI", "subjectURIPrefix"]
    subject: str


@dataclass(frozen=True, slots=True)
class BundleSigned:
    """sigstoreBundle, of our own: a sigstore bundle of one of the keys, or of a certificate.

    A bundle has the digest of what it is about and no name: there is no identity to compare.
    """

    signer: Material | Claim
    trusted_root: Material | None = None
    log: bool = True
    certificate_log: bool = True
    predicate: str = SIGN_PREDICATE

    def __str__(self) -> str:
        who = self.signer.subject if isinstance(self.signer, Claim) else self.signer
        return f"sigstoreBundle {who}"


Requirement = Accept | Reject | Unsatisfiable | SignedBy | SigstoreSigned | BundleSigned
