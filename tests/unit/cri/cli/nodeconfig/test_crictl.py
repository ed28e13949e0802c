from pathlib import Path

from cri.cli.nodeconfig import crictl
from tests.unit.cri.cli.nodeconfig.made import documents, facts


def test_crictl_finds_runtime_and_images_on_the_configured_socket() -> None:
    (file,) = crictl.files(facts(socket=Path("/run/other.sock")))
    assert file.name == "crictl.yaml"
    assert documents(file)[""] == {
        "runtime-endpoint": "unix:///run/other.sock",
        "image-endpoint": "unix:///run/other.sock",
        "timeout": 10,
        "debug": False,
    }
