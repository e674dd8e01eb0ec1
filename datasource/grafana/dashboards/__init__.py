"""The dashboards, a module each, listed in provisioning.py."""
