"""Potentials and the benchmark: KPIs that have a value a month.

In: the world. Out: the value of a tenant's month (None without one) and how the values of
several months and tenants are put together.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fractions import Fraction

from .facts import Facts
from .world import Tenant

FIELDS = {
    "mecs_potential": ("inbound_leads", "workshop_jobs"),
    "users_potential": ("sales_advisors", "service_advisors"),
    "visitors_potential": ("website_visitors",),
}

Number = Fraction | int


def field_value(tenant: Tenant, name: str, month: date) -> Fraction | None:
    """The latest value of a potential's field at or before a month; null ends it."""
    value = None
    for at in sorted(tenant.potentials):
        if at <= f"{month:%Y-%m}" and name in tenant.potentials[at]:
            value = tenant.potentials[at][name]
    return value


def potential(tenant: Tenant, kpi: str, month: date) -> Fraction | None:
    """The sum of a potential's fields; a missing part makes it None."""
    parts = [field_value(tenant, name, month) for name in FIELDS[kpi]]
    if any(part is None for part in parts):
        return None
    return sum(part for part in parts if part is not None)  # type: ignore[return-value]


class Benchmark:
    """Effective chats and counted visits of every tenant by local month."""

    def __init__(self, tenants: Iterable[Facts]) -> None:
        self.chats: dict[tuple[str, date], int] = {}
        self.visits: dict[tuple[str, date], int] = {}
        self.types: dict[str, str] = {}
        for facts in tenants:
            name = facts.tenant.id
            self.types[name] = facts.tenant.business_type
            for _, month in facts.chat_kinds:
                self.chats[name, month] = self.chats.get((name, month), 0) + 1
            for event in facts.counted_visits:
                month = facts.month(event)
                self.visits[name, month] = self.visits.get((name, month), 0) + 1

    def value(self, tenant: Tenant, month: date) -> Fraction | None:
        """Potential visitors of a month * conversion of the tenant's business type in it."""
        visitors = potential(tenant, "visitors_potential", month)
        counted = [
            name
            for name, business_type in self.types.items()
            if business_type == tenant.business_type and (name, month) in self.visits
        ]
        others = [name for name in counted if name != tenant.id]
        if visitors is None or len(others) < 3:
            return None
        chats = sum(self.chats.get((name, month), 0) for name in counted)
        visits = sum(self.visits[name, month] for name in counted)
        return visitors * chats / visits


def together(kpi: str, months: list[Number | None]) -> Number | None:
    """The value of several months of one tenant, None when none has one."""
    there = [value for value in months if value is not None]
    if not there:
        return None
    return there[-1] if kpi == "users_potential" else sum(there)


def summed(values: Iterable[Number | None]) -> Number | None:
    """The values of several tenants added, nulls left out, None when all are."""
    there = [value for value in values if value is not None]
    return sum(there) if there else None
