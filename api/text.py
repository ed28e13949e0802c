"""Text of strangers, made fit for a log, an error or a terminal.

What comes from a registry, an image, a plugin, a runtime or a pod's author may hold line feeds that forge a
second line, escape sequences that steer a terminal, or characters that turn its writing round. ``printable``
is the one place that knows them; the log's formatters, cri/grpc_errors.py and cri/cli/output.py call it.
What is quoted by ``repr`` is harmless too.
"""

import re

# C0, DEL and C1 controls; line and paragraph separators; marks, embeddings, overrides and isolates of
# bidirectional text (Unicode TR9); what has no glyph at all (zero width, BOM, tags); halves of surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str, limit: int | None = None) -> str:
    """One line without anything that acts: each such character as an escape, ``\\n`` or ``\\x1b``.

    Longer text than ``limit`` is cut, and ends in an ellipsis.
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    # Nearly all text is clean: this test is all that it costs.
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
