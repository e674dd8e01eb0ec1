"""The made-up organizations of the demo data, as `world.toml` has them, and all they own."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

WORLD: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("world.toml").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Tenant:
    """One organization. Shares are fractions of 1, days count back from the end of the data."""

    id: str
    name: str
    zone: str
    business: str
    share: float  # of all events
    chat: float  # of its contacts' arrivals: to an experience, the others to messaging
    places: list[str]  # the third one is closed by now
    staff: int = 12
    languages: tuple[str, ...] = ("en",)
    starts: int | None = None  # days before the end; None: there from the start
    silent: int = 0  # days before the end without any event
    session_rule: str = "inactivity"
    session_minutes: int = 30


Add = Callable[..., None]  # takes the type of an entity, and its fields by name
TENANTS = [Tenant(**row) for row in WORLD["tenants"]]


class Experience(NamedTuple):
    """What a story needs to know of an experience; `modules` are (id, module_type) in order."""

    id: str
    season: str
    weight: float
    modules: list[tuple[str, str]]


@dataclass
class Cast:
    """A tenant's entities: `records` for the load, the ids that stories play with beside them.

    `users` are (id, department id or ""); `former` ones left halfway through the data.
    """

    records: list[dict[str, object]]
    experiences: list[Experience] = field(default_factory=list)
    inboxes: list[str] = field(default_factory=list)
    users: list[tuple[str, str]] = field(default_factory=list)
    former: list[tuple[str, str]] = field(default_factory=list)


def cast(tenant: Tenant, months: list[str], monthly: float) -> Cast:
    """Make every entity of `tenant`, the same for the same arguments.

    `months` (YYYY-MM, local, ascending) have potentials, sized for `monthly` events a month.
    """
    made = Cast(
        [
            {
                "type": "tenant",
                "id": tenant.id,
                "name": tenant.name,
                "timezone": tenant.zone,
                "business_type": tenant.business,
                "session_rule": tenant.session_rule,
                "session_minutes": tenant.session_minutes,
                "conversation_url": f"https://{tenant.id}.example.com/inbox/{{conversation}}",
            }
        ]
    )
    add = partial(_add, made, tenant)
    _add_experiences(made, tenant, add)
    departments = _add_places(made, tenant, add)
    for channel in WORLD["channels"]:
        add("channel", **channel)
    _add_staff(made, tenant, departments, add)
    for bot in WORLD["bots"]:
        add("bot", **bot)
    _add_potentials(tenant, months, monthly, add)
    return made


def _add(made: Cast, tenant: Tenant, kind: str, **fields: object) -> None:
    """Add the record of an entity."""
    made.records.append({"type": kind, "tenant": tenant.id, **fields})


def _add_experiences(made: Cast, tenant: Tenant, add: Add) -> None:
    """Add experiences with their folders and modules."""
    plans = WORLD["experiences"]["large" if tenant is TENANTS[0] else "small"]
    for folder in dict.fromkeys(plan["folder"] for plan in plans):
        add("folder", id=folder.lower(), name=folder)
    for number, plan in enumerate(plans, 1):
        ident = f"exp-{number}"
        add("experience", id=ident, name=plan["name"], folder=plan["folder"].lower())
        modules = [(f"mod-{number}-{n}", kind) for n, kind in enumerate(plan["modules"], 1)]
        made.experiences.append(Experience(ident, plan.get("season", ""), plan["weight"], modules))
        for position, (module, kind) in enumerate(modules, 1):
            following = [after for after, _ in modules[position : position + 2]]
            fork = {"next": following} if kind == "decision" else {}
            add(
                "module",
                id=module,
                experience=ident,
                name=WORLD["module_names"].get(kind, kind.replace("_", " ").capitalize()),
                module_type=kind,
                position=position,
                **fork,
            )


def _add_places(made: Cast, tenant: Tenant, add: Add) -> list[str]:
    """Add locations, departments and inboxes; return the ids of the departments that are open."""
    open_departments = []
    for p, place in enumerate(tenant.places, 1):
        is_open = p < 3
        add("location", id=f"loc-{p}", name=place, active=is_open)
        for d, name in enumerate(WORLD["businesses"][tenant.business]["departments"], 1):
            department, inbox, called = f"dep-{p}-{d}", f"inbox-{p}-{d}", f"{name} {place}"
            add("department", id=department, location=f"loc-{p}", name=called, active=is_open)
            add("inbox", id=inbox, name=called, department=department)
            if is_open:
                open_departments.append(department)
                made.inboxes.append(inbox)
    made.inboxes.append("inbox-desk")
    add("inbox", id="inbox-desk", name="Shared desk")
    return open_departments


def _add_staff(made: Cast, tenant: Tenant, departments: list[str], add: Add) -> None:
    """Add users; those above level 1 are in a department, the others are the platform's own."""
    for n, member in enumerate(WORLD["staff"][: tenant.staff]):
        department = departments[n % len(departments)] if member["level"] > 1 else ""
        (made.users if member["active"] else made.former).append((member["id"], department))
        add("user", **member, **({"department": department} if department else {}))


def _add_potentials(tenant: Tenant, months: list[str], monthly: float, add: Add) -> None:
    """Add a potential for each month; staff is named when it changes, other fields hold."""
    talk = monthly * (1 - tenant.chat)
    for n, month in enumerate(months):
        size = talk * (1 + n / 24)
        fields = {
            "inbound_leads": round(size * 0.04) + 4,
            "website_visitors": round(size * 0.14) + 9,
        }
        if n % 3 == 0:
            fields["workshop_jobs"] = round(size * 0.03) + 3
        if n % 6 == 0:
            fields["sales_advisors"] = tenant.staff // 2 + n // 12
            fields["service_advisors"] = tenant.staff - tenant.staff // 2
        add("potential", month=month, **fields)


def fields(row: Mapping[str, object]) -> str:
    """Return the fields of a record as they go on in a line of JSON: `,"name":value`."""
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return f",{text[1:-1]}" if row else ""


def nps_answers(rng: Random, languages: Iterable[str]) -> list[str]:
    """Make two thousand answers to draw from, as fields; six in ten have a text.

    Texts are in `languages`. The scores of the first six are fixed: few answers show all there is.
    """
    pools = [
        [
            f"{thing} {verdict}.{closing}"
            for language in languages
            for words in [WORLD["phrases"][language]]
            for thing, verdict, closing in product(
                words["things"], words["verdicts"][segment], words["closings"]
            )
        ]
        for segment in range(3)
    ]
    deck: list[str] = []
    for score in [9, 10, 8, 10, 4, 7, *rng.choices(range(11), WORLD["scores"], k=1994)]:
        text = rng.choice(pools[(score > 6) + (score > 8)])
        spoken = len(deck) < 6 or rng.random() < 0.6
        deck.append(fields({"score": score, "text": text} if spoken else {"score": score}))
    return deck
