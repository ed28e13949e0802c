"""Podwright's own OCI runtime (runtime-spec 1.2, and 1.3 where the kernel has it), docs/adr/0024.

    plan/     pure: config.json to a list of operations, which can be printed and tested without root
    perform/  an operation each, done by the process that becomes the container; thin calls into host/
    launch    the parent's side: fork, then messages; never waits by itself
    state     what is kept of a container below --root
    verbs/    create, start, kill …, a file each
    cli/      podwright-oci, a command line like runc's

Standard library only, and of it nothing that costs a start time: the monitor is to run this too.
"""
