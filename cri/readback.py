"""Records read back from disk, with the proof that they can be shown: what fails here is one object's
trouble."""

from cri.containers import status as container_status
from cri.containers.record import Container
from cri.records import Row
from cri.sandboxes import status as sandbox_status
from cri.sandboxes.record import Sandbox


def showable_sandbox(row: Row) -> Sandbox:
    """The sandbox of a row; raises whatever its reading or its messages raise."""
    sandbox = Sandbox.from_row(row)
    sandbox.item().SerializeToString()
    sandbox_status.message(sandbox).SerializeToString()
    return sandbox


def showable_container(row: Row) -> Container:
    """The container of a row; raises as the other does."""
    container = Container.from_row(row)
    container.item().SerializeToString()
    container_status.message(container).SerializeToString()
    return container
