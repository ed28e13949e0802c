"""The judgement: whether the evidence satisfies all requirements of a ruling. Without a network.

Every requirement must be satisfied, each by at least one signature; different ones may be by different
signatures. What is wrong with which requirement, for which image, is in the error.
"""

import asyncio
import importlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from storage.reference import Reference
from storage.signatures.errors import NotAccepted, SignatureValidationFailed, TrustUnavailable
from storage.signatures.evidence import Attachment, Bundle, Evidence, Signature, Simple
from storage.signatures.policy import Ruling
from storage.signatures.requirements import (
    Accept,
    BundleSigned,
    Reject,
    Requirement,
    SignedBy,
    SigstoreSigned,
    Unsatisfiable,
)

_SHOWN = 5
_REASON_CHARACTERS = 300
_LIBRARIES = ("cryptography.x509.verification", "rfc3161_client")
Check = Callable[[Any], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: a manifest, what speaks for it, and the name under which it was asked for."""

    asked: Reference
    manifest: bytes
    evidence: Evidence


async def judge(ruling: Ruling, case: Case) -> Evidence:
    """The evidence, what satisfied a requirement in front.

    Raises:
        SignatureValidationFailed: a requirement is not satisfied, and which, and why.
        TrustUnavailable: a requirement's keys cannot be had.
    """
    good: list[Signature] = []
    for requirement in ruling.requirements:
        where = f"{case.asked}: {ruling.where}: {requirement}"
        try:
            found = await _satisfy(requirement, case)
        except NotAccepted as error:
            raise SignatureValidationFailed(f"{where}: {error}") from error
        except TrustUnavailable as error:
            raise TrustUnavailable(f"{where}: {error}") from error
        if found is not None and found not in good:
            good.append(found)
    return replace(
        case.evidence, signatures=(*good, *(each for each in case.evidence.signatures if each not in good))
    )


async def _satisfy(requirement: Requirement, case: Case) -> Signature | None:
    """The signature that satisfies a requirement, or None for one that needs none."""
    match requirement:
        case Accept():
            return None
        case Reject():
            raise NotAccepted("running the image is rejected by policy")
        case Unsatisfiable(why=why):
            raise NotAccepted(f"cannot be satisfied: {why}")
        case SignedBy():
            return await _first(case, Simple, await _simple(requirement, case))
        case SigstoreSigned():
            return await _first(case, Attachment, await _attachment(requirement, case))
        case BundleSigned():
            return await _first(case, Bundle, await _bundle(requirement, case))


async def _simple(wanted: SignedBy, case: Case) -> Check:
    from storage.signatures.openpgp import keyring
    from storage.signatures.simple import verify_simple

    read = await asyncio.to_thread(wanted.keys.read)
    keys = [keyring(data, what) for what, data in read]

    async def check(signature: Simple) -> None:
        await verify_simple(signature, keys, wanted, case.manifest, case.asked)

    return check


async def _attachment(wanted: SigstoreSigned, case: Case) -> Check:
    def prepare() -> Callable[[Attachment], None]:
        with_libraries()
        from storage.signatures import attachments

        trust = attachments.Trust.read(wanted)
        return lambda signature: trust.verify(signature, case.manifest, case.asked)

    return _in_thread(await asyncio.to_thread(prepare))


async def _bundle(wanted: BundleSigned, case: Case) -> Check:
    def prepare() -> Callable[[Bundle], None]:
        with_libraries()
        from storage.signatures import bundles

        trust = bundles.Trust.read(wanted)
        return lambda signature: trust.verify(signature, case.manifest)

    return _in_thread(await asyncio.to_thread(prepare))


def with_libraries() -> None:
    """Import the libraries that sigstore's signatures need, which takes a while. Blocking.

    Raises:
        TrustUnavailable: they are not installed.
    """
    try:
        for name in _LIBRARIES:
            importlib.import_module(name)
    except ImportError as error:
        raise TrustUnavailable(
            f"sigstore signatures need the Python package {error.name}: install it"
        ) from error


def _in_thread(check: Callable[[Any], None]) -> Check:
    async def checked(signature: Signature) -> None:
        await asyncio.to_thread(check, signature)

    return checked


async def _first(case: Case, kind: type[Signature], check: Check) -> Signature:
    """The first signature of a form that holds.

    Raises:
        NotAccepted: none does, or there is none.
    """
    reasons: list[str] = []
    for signature in case.evidence.of(kind):
        try:
            await check(signature)
        except NotAccepted as error:
            reasons.append(str(error)[:_REASON_CHARACTERS])
        else:
            return signature
    raise NotAccepted(_none_accepted(reasons, case.evidence))


def _none_accepted(reasons: Sequence[str], evidence: Evidence) -> str:
    if len(reasons) == 1:
        return reasons[0]
    if reasons:
        listed = list(dict.fromkeys(reasons))
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        return f"none of {len(reasons)} signatures is accepted: {'; '.join(listed[:_SHOWN])}{more}"
    others = f" ({len(evidence.signatures)} of other forms)" if evidence.signatures else ""
    remarks = "".join(f"; {remark}" for remark in evidence.remarks)
    return f"a signature is required, and there is none{others}{remarks}"
