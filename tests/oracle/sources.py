"""Where KPIs take their hits from.

A source is a function of a tenant's facts and the KPI's dims that gives its hits: what is
counted, when, for whom and under which dimensions. The functions here make sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from .facts import AfterSales, AfterSession, Facts, Session, is_message, named
from .world import Event

Dims = tuple[str, ...]
Test = Callable[[Event], bool]


@dataclass(frozen=True)
class Hit:
    """One thing that a KPI counts."""

    at: datetime
    dims: dict[str, str]
    amount: Fraction | int
    entity: str | None
    kind: str
    id: str
    contact: str | None
    conversation: str | None


Source = Callable[[Facts, Dims], list[Hit]]


def hit(
    event: Event,
    dims: dict[str, str | None],
    *,
    amount: Fraction | int = 1,
    entity: str | None = None,
    kind: str | None = None,
) -> Hit:
    """A hit at an event, with its dims spelled out."""
    return Hit(
        at=event.at,
        dims={dim: named(dim, value) for dim, value in dims.items()},
        amount=amount,
        entity=entity,
        kind=kind or event.type,
        id=event.id,
        contact=event.get("contact"),
        conversation=event.get("conversation"),
    )


def always(event: Event) -> bool:
    """The test that every event passes."""
    return True


def one(event: Event) -> Fraction | int:
    """The amount of an event that is only counted."""
    return 1


def has(**fields: str) -> Test:
    """A test that the event's text fields have these values."""
    return lambda event: all(event.get(name) == value for name, value in fields.items())


# Experience and module families: the dims are the event's own


def own_dims(facts: Facts, event: Event, dims: Dims) -> dict[str, str | None]:
    """The KPI's dims as the event itself gives them."""
    return {dim: facts.own(event, dim) for dim in dims}


def events(
    kind: str, where: Test = always, amount: Callable[[Event], Fraction | int] = one
) -> Source:
    """The events of a type that pass a test, each with its amount."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        return [
            hit(event, own_dims(facts, event, dims), amount=amount(event))
            for event in facts.events
            if event.type == kind and where(event)
        ]

    return source


def contacts(kind: str, where: Test = always) -> Source:
    """The same for distinct contacts: an event without a contact is none."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        return [
            hit(event, own_dims(facts, event, dims), entity=event.get("contact"))
            for event in facts.events
            if event.type == kind and where(event) and event.get("contact") is not None
        ]

    return source


def first_contacts(kind: str) -> Source:
    """The first event of a type of each contact in all history."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        known: set[str] = set()
        found = []
        for event in facts.events:
            contact = event.get("contact")
            if event.type == kind and contact is not None and contact not in known:
                known.add(contact)
                found.append(hit(event, own_dims(facts, event, dims), entity=contact))
        return found

    return source


def answered_starts(facts: Facts, dims: Dims) -> list[Hit]:
    """Chat starts answered by their contact, at the first interaction."""
    return [hit(event, own_dims(facts, event, dims)) for event in facts.answered_starts]


def sessions(where: Callable[[Session], bool]) -> Source:
    """The sessions that pass a test, at their start."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        found = []
        for session in facts.sessions:
            if where(session):
                folder = facts.tenant.parent("experience", session.experience, "folder")
                values = {
                    "experience": session.experience,
                    "folder": folder,
                    "device": session.device,
                }
                found.append(hit(session.first, values, kind="session"))
        return found

    return source


# Messaging and bots: events in a conversation, with what it carries


def in_conversation(kind: str, where: Test = always, distinct: bool = False) -> Source:
    """The events of a type in a conversation, the entity being the conversation if distinct."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        found = []
        for event in facts.events:
            conversation = event.get("conversation")
            if event.type == kind and conversation is not None and where(event):
                values = {dim: facts.in_conversation(event, dim) for dim in dims}
                found.append(hit(event, values, entity=conversation if distinct else None))
        return found

    return source


def new_conversations(facts: Facts, dims: Dims) -> list[Hit]:
    """The first event of each conversation."""
    found = []
    for in_order in facts.conversations.values():
        first = in_order[0]
        values = {dim: facts.in_conversation(first, dim) for dim in dims}
        found.append(hit(first, values, kind="conversation"))
    return found


def bot_leads(facts: Facts, dims: Dims) -> list[Hit]:
    """Lead results, once for each bot that sent a message in the conversation before."""
    found = []
    for conversation, in_order in facts.conversations.items():
        for event in in_order:
            if event.type == "result" and event.get("result_type") == "lead":
                earlier = [e for e in in_order if is_message(e, "bot") and e.key < event.key]
                # Each once, in the order of their first messages.
                for bot in dict.fromkeys(e.get("bot") for e in earlier):
                    found.append(hit(event, {"bot": bot}, entity=conversation))
    return found


# Potential


def mecs(facts: Facts, dims: Dims) -> list[Hit]:
    """Messages from a contact in a conversation, for distinct contacts."""
    return [
        hit(event, {}, entity=event.get("contact"))
        for event in facts.events
        if is_message(event, "contact")
        and event.get("conversation") is not None
        and event.get("contact") is not None
    ]


def active_users(facts: Facts, dims: Dims) -> list[Hit]:
    """Any event that names a user who is no guest, for distinct users."""
    return [
        hit(event, {}, entity=event.get("user"))
        for event in facts.events
        if event.get("user") is not None and facts.own(event, "role") != "guest"
    ]


def visits(facts: Facts, dims: Dims) -> list[Hit]:
    """The counted visits."""
    return [hit(event, {}) for event in facts.counted_visits]


def chats_by_kind(facts: Facts, dims: Dims) -> list[Hit]:
    """Results in a conversation under the kind that it has in that month."""
    found = []
    for event in facts.events:
        conversation = event.get("conversation")
        if event.type == "result" and conversation is not None:
            kind = facts.chat_kinds[conversation, facts.month(event)]
            found.append(hit(event, {"chat_kind": kind}, entity=conversation))
    return found


# After-sales


def phase(where: Callable[[AfterSales], bool]) -> Source:
    """After-sales conversations that pass a test, at their first notification."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        found = []
        for chat in facts.after_sales:
            if where(chat):
                channel = facts.in_conversation(chat.invitation, "channel")
                found.append(
                    hit(
                        chat.invitation,
                        {"channel": channel},
                        entity=chat.conversation,
                        kind="conversation",
                    )
                )
        return found

    return source


def _session_hit(facts: Facts, session: AfterSession, entity: str | None) -> Hit:
    values = {
        "location": facts.location(session.department),
        "department": session.department,
        "user": session.user,
        "channel": session.channel,
    }
    return hit(session.first, values, entity=entity, kind="session")


def after_sessions(facts: Facts, dims: Dims) -> list[Hit]:
    """After-sales sessions."""
    return [_session_hit(facts, s, None) for chat in facts.after_sales for s in chat.sessions]


def after_conversations(facts: Facts, dims: Dims) -> list[Hit]:
    """After-sales sessions, for distinct conversations."""
    return [
        _session_hit(facts, session, chat.conversation)
        for chat in facts.after_sales
        for session in chat.sessions
    ]


def after_events(kind: str) -> Source:
    """The events of a type in after-sales conversations."""

    def source(facts: Facts, dims: Dims) -> list[Hit]:
        found = []
        for chat in facts.after_sales:
            for event in chat.later:
                if event.type == kind:
                    user, department, location = facts.after_sales_place(chat, event)
                    values = {
                        "location": location,
                        "department": department,
                        "user": user,
                        "channel": facts.in_conversation(event, "channel"),
                    }
                    found.append(hit(event, values))
        return found

    return source
