"""``podwright-unpack``: the layer on stdin, its tree in a directory, one line of JSON on stdout.

    argv[1]   {"directory": PATH, "limits": {FIELD OF Limits: NUMBER},
               "filters": {FIELD OF Filters: BASE64}}
    stdout    {"compressed": HEX, "compressed_bytes": N, "archive": HEX, "archive_bytes": N, "disk_bytes": N,
               "inodes": N, "skipped_xattrs": N, "skipped_devices": N, "implied": [PATH],
               "unconfined": [TEXT], "fault": null}
              or the same with "fault": {"kind": KIND, "text": TEXT, "entry": NAME}

After a fault in the archive the rest of stdin is still read and hashed, so that the parent can tell a
damaged download (the digest differs) from a bad image; after a passed limit or a full disk it is not.
Before the process looks at the layer it gives up whatever it does not need (storage/unpack/confine.py), and
the kernel ends it before others when memory is short.
The exit status is 0 whenever the line was written. stderr carries tracebacks of bugs only.
"""

import base64
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.unpack.confine import Filters, bound, confine_self
from storage.unpack.faults import Kind, LayerFault, Limits
from storage.unpack.streams import Stream, threaded
from storage.unpack.tar import Reader, Source
from storage.unpack.tree import Tree

_GIVE_UP = frozenset({Kind.TOO_LARGE, Kind.DISK})
# A short switch interval lets the decompressing thread take its next chunk while the tar loop is in Python.
_SWITCH_INTERVAL_S = 1e-4
_OOM_SCORE_ADJ = 500  # the daemon's own, which would be inherited, protects it from the OOM killer


def unpack(descriptor: int, directory: Path, limits: Limits, filters: Filters) -> dict[str, Any]:
    """Unpack the stream on ``descriptor`` into the empty ``directory``; the result as the protocol has it."""
    stream = Stream(descriptor, limits)
    stream.begin()
    fault: LayerFault | None = None
    with Tree(directory, limits) as tree:
        confined = confine_self(tree, filters)
        chunks = threaded(stream.chunks())
        try:
            tree.write(Reader(Source(chunks), limits))
        except LayerFault as caught:
            fault = caught
        except MemoryError:
            fault = LayerFault(Kind.TOO_LARGE, "more memory than a layer may take")
        result = {
            "disk_bytes": tree.disk_bytes,
            "inodes": tree.inodes,
            "skipped_xattrs": tree.skipped_xattrs,
            "skipped_devices": tree.skipped_devices,
            "implied": [os.fsdecode(path) for path in tree.implied],
            "unconfined": confined.unconfined,
        }
    if confined.marker is not None:
        confined.marker.close()
    told = fault is None or (fault.kind not in _GIVE_UP and _drain(stream, chunks))
    return {
        **result,
        "compressed": stream.compressed_digest if told else "",
        "compressed_bytes": stream.compressed_bytes,
        "archive": stream.archive_digest if fault is None else "",
        "archive_bytes": stream.archive_bytes,
        "fault": None if fault is None else {"kind": fault.kind, "text": fault.text, "entry": fault.entry},
    }


def _drain(stream: Stream, chunks: Iterator[bytes]) -> bool:
    """Hash the rest of the input after a fault; always True."""
    stream.abandon()
    with contextlib.suppress(LayerFault):
        for _ in chunks:
            pass  # what the other thread had made already, until it ends
    stream.drain()
    return True


def _be_first_to_go() -> None:
    with contextlib.suppress(OSError):  # no /proc
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_ADJ))


def main() -> None:
    """Entry point of the process."""
    bound()
    _be_first_to_go()
    request = json.loads(sys.argv[1])
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    os.umask(0)
    programs = {name: base64.b64decode(text) for name, text in request["filters"].items()}
    result = unpack(0, Path(request["directory"]), Limits(**request["limits"]), Filters(**programs))
    sys.stdout.write(json.dumps(result, ensure_ascii=True) + "\n")
    sys.stdout.flush()
    # The decompressing thread may still wait for room: it is not joined.
    os._exit(0)


if __name__ == "__main__":
    main()
