"""The kernel, thin: one small function per system call or kernel file, standard library only."""
