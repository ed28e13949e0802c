"""What needs systemd as process 1: run in the node's guest (tests/node), not collected elsewhere."""
