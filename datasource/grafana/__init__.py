"""Grafana's side: dashboards, data sources and alert rules, made from the catalogue."""

from datasource.grafana.provisioning import build, check, write

__all__ = ["build", "check", "write"]
