"""chatkpi: the KPIs of chat and messaging teams, defined once, exact, and everywhere."""

__version__ = "0.1.0"
