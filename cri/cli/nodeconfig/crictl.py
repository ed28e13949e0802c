"""crictl's configuration file."""

from cri.cli.nodeconfig.facts import Facts
from cri.cli.nodeconfig.files import File, document

REQUEST_TIMEOUT_S = 10


def files(facts: Facts) -> list[File]:
    """crictl.yaml."""
    content = {
        "runtime-endpoint": facts.endpoint,
        "image-endpoint": facts.endpoint,
        "timeout": REQUEST_TIMEOUT_S,
        "debug": False,
    }
    return [File("crictl.yaml", document("crictl reads this as /etc/crictl.yaml.", content))]
