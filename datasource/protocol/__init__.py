"""The HTTP side: answers questions for Grafana, scripts and browsers."""
