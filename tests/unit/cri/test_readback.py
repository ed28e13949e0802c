"""Rows that cannot be read back, whatever is odd about them, are one object's trouble."""

from pathlib import Path

import pytest

from api.ids import ContainerId, ImageId, SandboxId
from api.runtime.v1 import api_pb2 as pb
from cri.cli.examine.records import records as examine
from cri.containers.record import Container
from cri.readback import showable_container, showable_sandbox
from cri.records import Records
from cri.sandboxes.record import Sandbox
from tests.unit.cri.odd_records import ODD, spoil


def _fill(path: Path) -> None:
    records = Records(path)
    for letter in "ab":
        sandbox = Sandbox(SandboxId(letter * 64), f"pod {letter}", pb.PodSandboxConfig(), "", 1)
        records.insert("sandbox", sandbox.to_row())
        container = Container(
            ContainerId(letter * 64),
            f"container {letter}",
            sandbox.id,
            pb.ContainerConfig(),
            "",
            ImageId("sha256:1"),
            "",
            1,
        )
        records.insert("container", container.to_row())
    records.close()


@pytest.mark.parametrize("kind", ["sandbox", "container"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_row_is_named_and_the_others_are_read(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "records.sqlite"
    _fill(path)
    spoil(path, kind, "a" * 64, ODD[name])
    records = Records(path)
    parse = showable_sandbox if kind == "sandbox" else showable_container
    found, unreadable = records.read(kind, parse)
    assert [one.id[0] for one in found] == ["b"]  # type: ignore[attr-defined]
    assert [one.id for one in unreadable] == ["a" * 64]
    findings = [str(finding) for finding in examine(tmp_path)]
    assert len(findings) == 1
    assert findings[0].startswith("warning  records: ")
    assert findings[0].endswith("a" * 64)
    findings[0].encode()
    records.delete(kind, unreadable[0].id)
    assert records.read(kind, parse)[1] == []
    records.close()
    assert [str(finding)[:2] for finding in examine(tmp_path)] == ["ok"]


def test_a_row_whose_id_is_no_text_can_be_deleted_too(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    _fill(path)
    records = Records(path)
    records._db.execute("UPDATE records SET id = CAST(? AS TEXT) WHERE name = 'pod a'", (b"\xff\xfe",))
    (bad,) = records.read("sandbox", showable_sandbox)[1]
    records.delete("sandbox", bad.id)
    assert [row.name for row in records.rows("sandbox")] == ["pod b"]
    records.close()
