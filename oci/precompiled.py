"""Seccomp filters compiled once and handed to crun ready-made.

Translating a default profile for three architectures takes libseccomp some 30 ms, in every crun of
every container. crun takes a finished program in an annotation instead (crun(1),
run.oci.seccomp_bpf_data), so a filter is compiled once for each distinct profile. The profile stays in
the document too: a crun that does not know the annotation compiles it as before.
"""

import base64
import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from host.libseccomp import Comparison, FilterRefused, NoLibseccomp, Rule, action, compile_filter

logger = logging.getLogger(__name__)

ANNOTATION = "run.oci.seccomp_bpf_data"
# Of linux.seccomp: with any other key the filter is left to the runtime.
_UNDERSTOOD = {"defaultAction", "defaultErrnoRet", "architectures", "syscalls"}
_KEPT = 64


class Filters:
    """Compiled filters by profile; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, str | None] = OrderedDict()
        # By identity, with the profile that has it: containers share those that the node has from files.
        self._recent: OrderedDict[int, tuple[Mapping[str, Any], str | None]] = OrderedDict()

    def annotate(self, document: dict[str, Any]) -> None:
        """Add the compiled filter to a runtime-spec document that has a profile; blocks while compiling."""
        profile = document.get("linux", {}).get("seccomp")
        if not profile:
            return
        compiled = self._get(profile)
        if compiled is not None:
            document.setdefault("annotations", {})[ANNOTATION] = compiled

    def _get(self, profile: Mapping[str, Any]) -> str | None:
        with self._lock:
            if (recent := self._recent.get(id(profile))) is not None:
                return recent[1]
        key = hashlib.sha256(json.dumps(profile).encode()).digest()
        with self._lock:
            if key not in self._known:
                self._known[key] = _compiled(profile)
            self._recent[id(profile)] = profile, self._known[key]
            for kept in (self._known, self._recent):
                while len(kept) > _KEPT:
                    kept.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]


def _compiled(profile: Mapping[str, Any]) -> str | None:
    """The annotation's value; None when the runtime must compile it itself."""
    if set(profile) - _UNDERSTOOD:
        return None
    try:
        default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
        architectures = [_architecture(name) for name in profile.get("architectures", ())]
        program = compile_filter(default, architectures, list(_rules(profile)))
    except (FilterRefused, NoLibseccomp) as error:
        logger.info("seccomp profile left to the runtime: %s", error)
        return None
    return base64.b64encode(program).decode()


def _architecture(name: str) -> str:
    """``SCMP_ARCH_X86_64`` as libseccomp's functions spell it."""
    return name.removeprefix("SCMP_ARCH_").lower()


def _rules(profile: Mapping[str, Any]) -> Iterator[Rule]:
    for entry in profile.get("syscalls", ()):
        number = action(entry["action"], entry.get("errnoRet"))
        comparisons = tuple(
            Comparison(one["index"], one["op"], one["value"], one.get("valueTwo", 0))
            for one in entry.get("args") or ()
        )
        for name in entry["names"]:
            yield Rule(name, number, comparisons)
