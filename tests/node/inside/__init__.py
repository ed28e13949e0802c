"""What runs inside the guest, as its root: tests of the installed package, and the installation."""
