"""Filters compiled ahead: once a profile, the same verdicts, and left to the runtime where they must be."""

import base64
from typing import Any

import pytest

from conf.seccomp import default_profile
from host import libseccomp
from oci import precompiled
from oci.generate.inputs import Defaults, HostView, ProfileType, SecurityContext, SecurityProfile
from oci.generate.seccomp import linux_seccomp
from oci.precompiled import ANNOTATION, Filters


def _document() -> dict[str, Any]:
    security = SecurityContext(seccomp=SecurityProfile(ProfileType.RUNTIME_DEFAULT))
    host = HostView(capabilities=frozenset(), seccomp=True)
    section = linux_seccomp(security, Defaults(seccomp_profile=default_profile()), host, ())
    return {"linux": {"seccomp": section}}


def test_the_default_profile_is_compiled_and_the_section_stays() -> None:
    document = _document()
    Filters().annotate(document)
    program = base64.b64decode(document["annotations"][ANNOTATION], validate=True)
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096  # the kernel's limit, BPF_MAXINSNS
    assert document["linux"]["seccomp"]["syscalls"]


def test_a_profile_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []
    real = libseccomp.compile_filter

    def counting(*arguments: Any) -> bytes:
        compiled.append(1)
        return real(*arguments)

    monkeypatch.setattr(precompiled, "compile_filter", counting)
    filters = Filters()
    documents = [_document() for _ in range(3)]
    for document in documents:
        filters.annotate(document)
    assert compiled == [1]
    assert len({document["annotations"][ANNOTATION] for document in documents}) == 1


def test_a_document_without_a_profile_stays_as_it_is() -> None:
    document: dict[str, Any] = {"linux": {}}
    Filters().annotate(document)
    assert document == {"linux": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"listenerPath": "/run/x"},
        {"flags": ["SECCOMP_FILTER_FLAG_LOG"]},
        {"architectures": ["SCMP_ARCH_PDP11"]},
    ],
)
def test_what_cannot_be_compiled_ahead_is_left_to_the_runtime(change: dict[str, Any]) -> None:
    document = _document()
    document["linux"]["seccomp"] |= change
    Filters().annotate(document)
    assert "annotations" not in document
