"""Every KPI, spelled out: what it counts, how, and by which dimensions.

`KPIS` maps the id of each KPI to its definition. A ratio has two sources: `hits` add to its
numerator, `base` to its denominator. A value KPI has none; values.py computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from . import sources
from .facts import Facts
from .sources import Dims, Hit, Source, contacts, events, has, in_conversation, phase, sessions
from .world import Event

EXPERIENCE = ("experience", "folder", "device")
WITH_MODULE = (*EXPERIENCE, "module")
MODULE = ("module", "module_type", "experience")
MESSAGING = ("device", "channel", "inbox")
BY_USER = ("user", "role", "level", "device", "channel", "inbox")
AFTER_SALES = ("location", "department", "user", "channel")
BOT = ("bot",)
#: The metrics that have a distribution.
DISTRIBUTED = ("active_conversations", "new_conversations", "messages", "effective_chats", "leads")


@dataclass(frozen=True)
class Kpi:
    """One KPI. `how` is count, sum, distinct, ratio or value; `grain` is month or none."""

    id: str
    how: str
    dims: Dims
    hits: Source | None = None
    base: Source | None = None
    factor: int = 1
    grain: str | None = None


KPIS: dict[str, Kpi] = {}


def count(kpi: str, dims: Dims, hits: Source, grain: str | None = None) -> None:
    """Define a KPI that counts its hits."""
    KPIS[kpi] = Kpi(kpi, "count", dims, hits, grain=grain)


def total(kpi: str, dims: Dims, hits: Source) -> None:
    """Define a KPI that adds up the amounts of its hits."""
    KPIS[kpi] = Kpi(kpi, "sum", dims, hits)


def distinct(kpi: str, dims: Dims, hits: Source, grain: str | None = None) -> None:
    """Define a KPI that counts the different entities of its hits."""
    KPIS[kpi] = Kpi(kpi, "distinct", dims, hits, grain=grain)


def ratio(kpi: str, dims: Dims, hits: Source, base: Source, factor: int) -> None:
    """Define a KPI that is factor * sum of its hits / sum of its base."""
    KPIS[kpi] = Kpi(kpi, "ratio", dims, hits, base, factor)


def value(kpi: str) -> None:
    """Define a monthly KPI that has a value a month."""
    KPIS[kpi] = Kpi(kpi, "value", (), grain="month")


def both(*parts: Source) -> Source:
    """The hits of several sources together."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        return [found for part in parts for found in part(facts, dims)]

    return source


def minutes(event: Event) -> Fraction:
    """An event's seconds as minutes."""
    return event.numbers["seconds"] / 60


def points(event: Event) -> Fraction:
    """An event's points, negative when redeemed."""
    return event.numbers["points"]


def awarded(event: Event) -> bool:
    """Whether points were given."""
    return points(event) > 0


def redeemed(event: Event) -> bool:
    """Whether points were spent."""
    return points(event) < 0


def scored(low: int, high: int) -> Callable[[Event], bool]:
    """A test that an answer's score lies between two, both included."""
    return lambda event: event.score is not None and low <= event.score <= high


def won(outcome: bool) -> Callable[[Event], bool]:
    """A test that a participation ended so; one without outcome ended neither way."""
    return lambda event: event.flags.get("won") is outcome


def segment(event: Event) -> int:
    """What an answer adds to the score: promoters one, detractors minus one."""
    assert event.score is not None
    if event.score >= 9:
        return 1
    return -1 if event.score <= 6 else 0


# Experience

bounced = sessions(lambda session: not session.with_conversation)
any_session = sessions(lambda session: True)
failed = events("pin", has(step="failed"))
succeeded = events("pin", has(step="succeeded"))

count("chat_starts", EXPERIENCE, events("chat_start"))
count("sessions", EXPERIENCE, any_session)
count("sessions_with_conversation", EXPERIENCE, sessions(lambda s: s.with_conversation))
count("bounces", EXPERIENCE, bounced)
ratio("bounce_rate", EXPERIENCE, bounced, any_session, 100)
total("screen_time", EXPERIENCE, events("screen_time", amount=minutes))
count("live_chats", EXPERIENCE, events("live_chat"))
total("handling_time_total", EXPERIENCE, events("live_chat", amount=minutes))
ratio(
    "handling_time_average",
    EXPERIENCE,
    events("live_chat", amount=minutes),
    events("live_chat"),
    1,
)
count("conversations", EXPERIENCE, sources.answered_starts)
distinct("participants", WITH_MODULE, contacts("participation"))
count("participations", WITH_MODULE, events("participation"))
count("new_customers", WITH_MODULE, sources.first_contacts("email_entered"))
distinct("web_push_asked", EXPERIENCE, contacts("opt_in", has(topic="web_push", step="asked")))
for topic, step in (
    ("web_push", "single"),
    ("web_push", "double"),
    ("reminder", "single"),
    ("reminder", "double"),
):
    distinct(f"{topic}_{step}_opt_ins", EXPERIENCE, contacts("opt_in", has(topic=topic, step=step)))
for via in ("facebook", "email", "native", "twitter", "whatsapp"):
    distinct(f"shares_{via}", EXPERIENCE, contacts("share", has(via=via)))
distinct("advent_doors", EXPERIENCE, contacts("door_opened"))
ratio("nps", WITH_MODULE, events("nps", amount=segment), events("nps"), 100)
count("nps_answers", WITH_MODULE, events("nps"))
count("nps_detractors", WITH_MODULE, events("nps", scored(0, 6)))
count("nps_passives", WITH_MODULE, events("nps", scored(7, 8)))
count("nps_promoters", WITH_MODULE, events("nps", scored(9, 10)))
count("nps_scores", ("score", *WITH_MODULE), events("nps"))
count("pins_sent", WITH_MODULE, events("pin", has(step="sent")))
count("pins_succeeded", WITH_MODULE, succeeded)
count("pins_failed", WITH_MODULE, failed)
ratio("pin_failure_rate", WITH_MODULE, failed, both(failed, succeeded), 100)
count("customers_deleted", EXPERIENCE, events("contact_deleted"))
count("data_entered", ("field", *EXPERIENCE), events("data_entered"))

# Module

count("module_visits", MODULE, events("module_visit"))
distinct("module_visitors", MODULE, contacts("module_visit"))
count("decisions", ("option", "module", "experience"), events("decision"))
distinct("opt_ins", ("topic", "step", "module", "experience"), contacts("opt_in"))
distinct("shares", ("via", "module", "experience"), contacts("share"))
total("points_awarded", MODULE, events("points", awarded, points))
distinct("points_receivers", MODULE, contacts("points", awarded))
total("points_redeemed", MODULE, events("points", redeemed, lambda event: -points(event)))
count("rewards_redeemed", MODULE, events("points", redeemed))
count(
    "quiz_answers",
    ("question", "answer", "correct", "module", "experience"),
    events("quiz_answer"),
)
count("pictures_uploaded", MODULE, events("picture_upload"))
count("winners", MODULE, events("participation", won(True)))
count("losers", MODULE, events("participation", won(False)))
total(
    "coupons",
    ("step", "module", "experience"),
    events("coupon", amount=lambda event: event.numbers.get("amount", 1)),
)
count("appointments", MODULE, events("appointment"))
count("code_entries", ("correct", "module", "experience"), events("code_entry"))
distinct("data_givers", ("field", "module", "experience"), contacts("data_entered"))

# Messaging

lead = has(result_type="lead")
from_user = has(**{"from": "user"})

distinct("active_conversations", MESSAGING, in_conversation("message", distinct=True))
count("new_conversations", MESSAGING, sources.new_conversations)
count("messages", MESSAGING, in_conversation("message"))
distinct(
    "effective_chats",
    (*MESSAGING, "category", "user", "role", "level"),
    in_conversation("result", distinct=True),
)
distinct("leads", (*MESSAGING, "category"), in_conversation("result", lead, distinct=True))
count("user_messages", BY_USER, in_conversation("message", from_user))
distinct("user_conversations", BY_USER, in_conversation("message", from_user, distinct=True))

# Potential

distinct("mecs", (), sources.mecs, grain="month")
value("mecs_potential")
distinct("active_users", (), sources.active_users, grain="month")
value("users_potential")
count("visitors", (), sources.visits, grain="month")
value("visitors_potential")
distinct("chats_by_kind", ("chat_kind",), sources.chats_by_kind, grain="month")
value("chats_benchmark")

# After-sales

distinct("after_sales_invited", ("channel",), phase(lambda chat: True))
distinct("after_sales_joined", ("channel",), phase(lambda chat: chat.joined))
distinct("after_sales_engaged", ("channel",), phase(lambda chat: chat.engaged))
count("after_sales_sessions", AFTER_SALES, sources.after_sessions)
distinct("after_sales_conversations", AFTER_SALES, sources.after_conversations)
count("after_sales_messages", AFTER_SALES, sources.after_events("message"))
count("after_sales_fields", AFTER_SALES, sources.after_events("field_set"))
count("after_sales_results", AFTER_SALES, sources.after_events("result"))

# Bots

count("bot_messages", BOT, in_conversation("message", has(**{"from": "bot"})))
count("bot_starts", BOT, events("bot_start"))
distinct("bot_leads", BOT, sources.bot_leads)
count("bot_chatpoints", BOT, events("chatpoint"))
total("bot_points", BOT, events("bot_points", amount=points))
