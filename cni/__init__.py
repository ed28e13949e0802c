"""Pod networks: CNI configuration, plugins executed or built in."""
