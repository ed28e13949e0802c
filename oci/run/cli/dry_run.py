"""create --dry-run: the plan, printed; nothing is made and no root is needed."""

import json
import sys

from oci.run.operations import describe
from oci.run.verbs import create


def show(container_id: str, options: create.Options) -> None:
    """One JSON object a line: how the process is born, then what the child does, then the parent.

    Raises:
        BadConfig: the configuration asks for what cannot be.
    """
    _, plan = create.plan_of(create.read_config(options.bundle), container_id, options)
    birth = {"operation": "Fork", "flags": hex(plan.flags), "pid_path": plan.pid_path}
    lines = [birth, *({"by": "child", **describe(step)} for step in plan.child)]
    lines += [{"by": "parent", **describe(step)} for step in (*plan.outside, *plan.limits)]
    sys.stdout.writelines(json.dumps(line) + "\n" for line in lines)
