"""Spans for OpenTelemetry; imported only where the configuration enables them."""
