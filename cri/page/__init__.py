"""The node's page beside /metrics; imported only where enable_page of [crio.metrics] is set."""
