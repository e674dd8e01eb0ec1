"""The made-up organizations of the demo data: who they are and every entity they own."""

from dataclasses import dataclass, field

Record = dict[str, object]


@dataclass(frozen=True)
class Tenant:
    """One organization. Shares are fractions of 1, days count back from the end of the data."""

    id: str
    name: str
    zone: str
    business: str
    share: float  # of all events
    chat: float  # of its contacts' arrivals: to an experience, the others to messaging
    places: tuple[str, ...]  # the third one is closed by now
    staff: int = 12
    languages: tuple[str, ...] = ("en",)
    starts: int | None = None  # days before the end; None: there from the start
    silent: int = 0  # days before the end without any event
    session_rule: str = "inactivity"
    session_minutes: int = 30


# Four dealerships and four brands, so that both have a benchmark.
TENANTS = (
    Tenant("vondelmarkt", "Vondelmarkt", "Europe/Amsterdam", "brand", 0.36, 0.7,
           ("Amsterdam", "Utrecht"), 18, ("nl", "nl", "en")),
    Tenant("waterland", "Autohuis Waterland", "Europe/Amsterdam", "dealership", 0.17, 0.3,
           ("Hoorn", "Purmerend", "Edam"), 20, ("nl",)),
    Tenant("mapleridge", "Maple Ridge Motors", "America/New_York", "dealership", 0.11, 0.25,
           ("Albany", "Troy", "Ithaca"), 16, session_rule="fixed"),
    Tenant("thamesgate", "Thamesgate Savings", "Europe/London", "financial_services", 0.08, 0.45,
           ("London", "Leeds"), session_minutes=20),
    Tenant("kaveri", "Kaveri Wheels", "Asia/Kolkata", "dealership", 0.07, 0.3,
           ("Bengaluru", "Mysuru", "Hubballi"), 14),
    Tenant("harbourcity", "Harbour City Autos", "Pacific/Auckland", "dealership", 0.06, 0.25,
           ("Wellington", "Porirua")),
    Tenant("bergbohne", "Bergbohne Kaffee", "Europe/Berlin", "brand", 0.05, 0.6, ("Berlin",), 8),
    Tenant("peakline", "Peakline Outdoor", "America/Denver", "brand", 0.045, 0.6, ("Boulder",), 8),
    Tenant("solyflor", "Sol y Flor", "Europe/Madrid", "brand", 0.04, 0.6, ("Valencia",), 6),
    Tenant("fjordcars", "Fjord Electric Cars", "Europe/Oslo", "dealership", 0.01, 0.3,
           ("Bergen",), 6, starts=24),
    Tenant("blinkybay", "Blinky Bay Rentals", "Australia/Lord_Howe", "other", 0.005, 0.5,
           ("Lagoon Road",), 4, silent=26),
)

DEPARTMENTS = {
    "dealership": ("Sales", "Service", "Parts"),
    "brand": ("Customer care", "Online shop"),
    "financial_services": ("Mortgages", "Everyday banking"),
    "other": ("Front desk",),
}

# Experiences: name, folder, season ("", "week": campaign weeks, "december"), weight, modules.
_LARGE = (
    ("Welcome", "Service", "", 5, "text decision email live_chat nps"),
    ("Gift finder", "Shop", "", 3, "text decision decision coupon share email"),
    ("Loyalty club", "Loyalty", "", 3,
     "sign_in loyalty_points reward personal_data nps share"),
    ("Newsletter", "Loyalty", "", 2, "text email newsletter sms profiling web_push"),
    ("Giveaway of the week", "Campaigns", "week", 2,
     "text email giveaway picture share web_push reminder"),
    ("Advent calendar", "Campaigns", "december", 0.4,
     "advent_calendar instant_win reminder web_push share"),
    ("Taste quiz", "Campaigns", "", 2, "text quiz quiz loyalty_points nps"),
    ("Code on the pack", "Campaigns", "", 2, "code_entry instant_win loyalty_points coupon"),
    ("Photo contest", "Campaigns", "week", 1, "text picture giveaway share reminder"),
    ("Visit a shop", "Service", "", 2, "decision personal_data appointment sms nps live_chat"),
)
_SMALL = (
    ("Ask and book", "Service", "", 4,
     "text decision personal_data appointment email live_chat nps"),
    ("Regulars", "Loyalty", "", 3,
     "sign_in loyalty_points share reward coupon newsletter sms profiling web_push nps"),
    ("Seasonal draw", "Campaigns", "week", 4,
     "email quiz giveaway picture code_entry instant_win reminder share"),
    ("Winter doors", "Campaigns", "december", 0.4, "advent_calendar instant_win share"),
)

_FIRST = ("Anna", "Bram", "Chloe", "Daan", "Esra", "Finn", "Gita", "Hugo", "Ines", "Jay")
_LAST = ("Visser", "Okafor", "Lind", "Rao", "Moreau", "Clarke", "Bakker")
_BOTS = (
    ("Greeter", "Says hello and asks what it is about", True),
    ("Lead catcher", "Asks for name and phone number", True),
    ("Workshop planner", "Finds a day for the workshop", True),
    ("Night watch", "Answers when everybody sleeps", True),
    ("Trade-in 2019", None, False),
    ("Survey trial", "Built, never switched to", True),
)
CHANNELS = ("web", "whatsapp", "facebook", "email", "sms", "other")


@dataclass(frozen=True)
class Experience:
    """What a story needs to know of an experience; `modules` are (id, module_type) in order."""

    id: str
    season: str
    weight: float
    modules: tuple[tuple[str, str], ...]


@dataclass
class Cast:
    """A tenant's entities: `records` for the load, the ids that stories play with beside them.

    `users` are (id, department id or ""); `former` ones left halfway through the data.
    """

    records: list[Record] = field(default_factory=list)
    experiences: list[Experience] = field(default_factory=list)
    inboxes: list[str] = field(default_factory=list)
    users: list[tuple[str, str]] = field(default_factory=list)
    former: list[tuple[str, str]] = field(default_factory=list)
    bots: list[str] = field(default_factory=list)


def cast(tenant: Tenant, months: list[str], monthly: float) -> Cast:
    """Every entity of `tenant`, the same for the same arguments.

    `months` (YYYY-MM, local, ascending) have potentials, sized for `monthly` events a month.
    """
    made = Cast()

    def add(kind: str, ident: str, **fields: object) -> None:
        made.records.append({"type": kind, "tenant": tenant.id, "id": ident, **fields})

    made.records.append({
        "type": "tenant", "id": tenant.id, "name": tenant.name, "timezone": tenant.zone,
        "business_type": tenant.business, "session_rule": tenant.session_rule,
        "session_minutes": tenant.session_minutes,
        "conversation_url": f"https://{tenant.id}.example.com/inbox/{{conversation}}"})
    plans = _LARGE if tenant.share > 0.3 else _SMALL
    for folder in dict.fromkeys(plan[1] for plan in plans):
        add("folder", folder.lower(), name=folder)
    for number, (name, folder, season, weight, kinds) in enumerate(plans, 1):
        ident = f"exp-{number}"
        add("experience", ident, name=name, folder=folder.lower())
        modules = tuple((f"mod-{number}-{n}", k) for n, k in enumerate(kinds.split(), 1))
        made.experiences.append(Experience(ident, season, weight, modules))
        for n, (module, kind) in enumerate(modules, 1):
            fork = {"next": [m for m, _ in modules[n:n + 2]]} if kind == "decision" else {}
            add("module", module, experience=ident, name=kind.replace("_", " ").capitalize(),
                module_type=kind, position=n, **fork)
    departments = []
    for p, place in enumerate(tenant.places, 1):
        add("location", f"loc-{p}", name=place, active=p < 3)
        for d, name in enumerate(DEPARTMENTS[tenant.business], 1):
            ident = f"{p}-{d}"
            add("department", f"dep-{ident}", location=f"loc-{p}", name=f"{name} {place}",
                active=p < 3)
            add("inbox", f"inbox-{ident}", name=f"{name} {place}", department=f"dep-{ident}")
            if p < 3:
                departments.append(f"dep-{ident}")
                made.inboxes.append(f"inbox-{ident}")
    add("inbox", "inbox-desk", name="Shared desk")
    made.inboxes.append("inbox-desk")
    for kind in CHANNELS:
        add("channel", f"ch-{kind}", name={"web": "Website", "sms": "SMS"}.get(kind, kind.title()),
            channel_type=kind, active=kind != "other")
    for n in range(tenant.staff):
        platform = n % 4 == 3  # works for the platform, in no department of the tenant
        department = "" if platform else departments[n % len(departments)]
        role = "guest" if n % 10 == 9 else ("agent", "agent", "supervisor", "admin")[n * 3 % 8 // 2]
        member = (f"user-{n + 1}", department)
        left = n % 7 == 5
        (made.former if left else made.users).append(member)
        add("user", member[0], name=f"{_FIRST[n % 10]} {_LAST[n * 5 % 7]}", role=role,
            level=n // 4 % 2 if platform else 2 + (role != "agent"), active=not left,
            **({"department": department} if department else {}))
    for n, (name, description, active) in enumerate(_BOTS, 1):
        add("bot", f"bot-{n}", name=name, active=active,
            **({"description": description} if description else {}))
        made.bots.append(f"bot-{n}")
    talk = monthly * (1 - tenant.chat)
    for n, month in enumerate(months):  # staff is named when it changes, the others hold
        size = talk * (1 + n / 24)
        fields = {"inbound_leads": round(size * 0.04) + 4,
                  "website_visitors": round(size * 0.14) + 9}
        if n % 3 == 0:
            fields["workshop_jobs"] = round(size * 0.03) + 3
        if n % 6 == 0:
            fields["sales_advisors"] = tenant.staff // 2 + n // 12
            fields["service_advisors"] = tenant.staff - tenant.staff // 2
        made.records.append({"type": "potential", "tenant": tenant.id, "month": month, **fields})
    return made
