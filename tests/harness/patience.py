"""How much longer things may take here than on an idle machine: $PODWRIGHT_TEST_PATIENCE, 1 unless set.

Emulated and overloaded machines want 10 or more. It stretches bounds, and the pauses between two looks, which
would otherwise keep a slow machine busy; what a test does stays the same.
"""

import os

FACTOR = float(os.environ.get("PODWRIGHT_TEST_PATIENCE") or 1)


def patient(seconds: float) -> float:
    """A bound that is right for an idle machine, as it is right for this one."""
    return seconds * FACTOR
