"""A node in a virtual machine: systemd, cgroup v2, AppArmor, all capabilities, and no network.

    python -m tests.node.shell SCRIPT    run a script in a fresh guest
    make node-smoke, make node-test      tests/node/test_*.py: boot guests and judge what they bring back

image.py makes the disk, once; job.py packs what one boot is to do; machine.py boots it and brings back the
results. The processor is emulated, so that hosts without virtualisation can run it: 10 to 20 times slower.
"""
