"""Cgroups of the own OCI runtime: version 1, hybrid and version 2, by files or by systemd's scopes.

    types     what a cgroup of a container can do, and how it fails
    choose    the one for a configuration, or for what its state has kept of it
    files     the cgroupfs driver             scopes    the systemd driver
    plan      resources as writes (pure), by version1 and version2
    devices   rules reduced to one list (pure); device_program, the same as eBPF
    place     one directory of one hierarchy; nothing in it leads out
    freezer, statistics, properties

Standard library only: the monitor imports it.
"""
