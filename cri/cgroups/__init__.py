"""Cgroup drivers: who makes the cgroups of pods, files (cgroupfs) or systemd's units."""
