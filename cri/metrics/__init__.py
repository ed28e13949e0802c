"""Metrics for Prometheus; imported only where [crio.metrics] enables them."""
