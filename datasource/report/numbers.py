"""The numbers of a report, in one statement: as the functions of SQL give them."""

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

from datasource.catalog import Catalog, Kpi
from datasource.store.connection import Connection
from datasource.store.errors import StoreError


@dataclass(frozen=True)
class Line:
    """A KPI on a day, the day before, and as it usually is on that weekday."""

    kpi: Kpi
    value: Decimal | None
    previous: Decimal | None
    usual: Decimal | None


@dataclass(frozen=True)
class Report:
    """What a report on an experience says about a local day.

    `days`: the value of the KPI `pictured` on each day up to that one.
    """

    tenant: str
    experience: str
    tenant_name: str
    experience_name: str
    day: date
    lines: tuple[Line, ...]
    pictured: Kpi
    days: tuple[Decimal | None, ...]

    @property
    def first_day(self) -> date:
        """The first day of the picture."""
        return self.day - timedelta(days=len(self.days) - 1)


@dataclass(frozen=True)
class Contents:
    """What report.toml says: ids of KPIs, and days of the picture."""

    essential: tuple[str, ...]
    pictured: str
    days: int

    @classmethod
    def read(cls) -> "Contents":
        """Read the file."""
        text = Path(__file__).with_name("report.toml").read_text(encoding="utf-8")
        found = tomllib.loads(text)
        return cls(tuple(found["essential"]), found["pictured"], found["days"])


@cache
def _known() -> tuple[Contents, dict[str, Kpi]]:
    return Contents.read(), Catalog.read().kpis


def report(connection: Connection, tenant: str, experience: str, day: date) -> Report:
    """Return a report on an experience about a day of the tenant's own clock.

    Raises StoreError when there is no such tenant.
    """
    contents, kpis = _known()
    asked = [tenant, experience, day, [*contents.essential], contents.pictured, contents.days]
    [(found,)] = connection.execute(
        "SELECT kpi_admin.report(%s, %s, %s, %s, %s, %s)", asked
    ).fetchall()
    if found is None:
        raise StoreError(f"there is no tenant {tenant!r}", "kpi.total knows those that were loaded")
    lines = [
        Line(kpis[kpi_id], *(None if number is None else Decimal(number) for number in numbers))
        for kpi_id, *numbers in found["numbers"]
    ]
    return Report(
        tenant=tenant,
        experience=experience,
        tenant_name=found["tenant_name"],
        experience_name=found["experience_name"],
        day=day,
        lines=tuple(
            line for line in lines if (line.value, line.previous, line.usual) != (None,) * 3
        ),
        pictured=kpis[contents.pictured],
        days=tuple(None if one is None else Decimal(one) for one in found["days"] or ()),
    )


def yesterday(connection: Connection, tenant: str) -> date:
    """Return the last whole day of a tenant's own clock. Raises StoreError for an unknown one."""
    found = connection.execute(
        "SELECT kpi_admin.local_day(coalesce(t.zone, 'UTC'), kpi_admin.now()) - 1 "
        "FROM kpi_data.tenant_number AS n LEFT JOIN kpi_fact.tenant AS t USING (tenant_no) "
        "WHERE n.tenant = %s",
        [tenant],
    ).fetchone()
    if found is None:
        raise StoreError(f"there is no tenant {tenant!r}", "chatkpi load brings them")
    day: date = found[0]
    return day
