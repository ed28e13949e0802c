"""systemd over D-Bus: imported only where systemd runs the machine (docs/adr/0010)."""
