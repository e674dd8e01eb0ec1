"""Tests of dashboards, data sources and alert rules."""
