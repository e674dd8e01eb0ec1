"""What a tenant's events mean: sessions, conversations, after-sales.

In: one tenant of the world. Out: windows, carried dimensions, parents of now and the
after-sales conversations, each worked out once over all of history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TypeVar

from .world import Event, Tenant

Key = TypeVar("Key")

CARRIED = ("device", "channel", "inbox")
#: Dimensions that are another's parent: the dimension they hang on, and the parent's field.
PARENTS = {
    "folder": ("experience", "experience", "folder"),
    "module_type": ("module", "module", "module_type"),
    "role": ("user", "user", "role"),
    "level": ("user", "user", "level"),
}


def named(dim: str, value: str | None) -> str:
    """A dimension's value as it is shown: itself, or `no …` without one."""
    if value is not None:
        return value
    return "no touchpoint" if dim == "channel" else f"no {dim}"


def is_message(event: Event, *senders: str) -> bool:
    """Whether the event is a message, from one of the senders if any are given."""
    return event.type == "message" and (not senders or event.get("from") in senders)


def windows(events: list[Event], rule: str, length: timedelta) -> list[list[Event]]:
    """Ordered activities cut into windows by the rule `fixed` or `inactivity`."""
    found: list[list[Event]] = []
    for event in events:
        if not found:
            opens = True
        elif rule == "fixed":
            opens = event.at >= found[-1][0].at + length
        else:
            opens = event.at - found[-1][-1].at > length
        if opens:
            found.append([event])
        else:
            found[-1].append(event)
    return found


@dataclass(frozen=True)
class Session:
    """A counted window of a contact."""

    first: Event
    experience: str | None
    device: str | None
    with_conversation: bool


@dataclass(frozen=True)
class AfterSession:
    """A session in an after-sales conversation."""

    first: Event
    user: str | None
    department: str | None
    channel: str | None


@dataclass(frozen=True)
class AfterSales:
    """A conversation opened by a notification, with what follows it."""

    conversation: str
    invitation: Event
    later: list[Event]
    sessions: list[AfterSession]
    joined: bool
    engaged: bool


class Facts:
    """All that KPIs read of one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.events = tenant.events
        self.clock = tenant.clock

    # Dimensions

    def own(self, event: Event, dim: str) -> str | None:
        """A dimension that the event names itself, or the parent of one that it names."""
        if dim in PARENTS:
            child, kind, field = PARENTS[dim]
            return self.tenant.parent(kind, event.get(child), field)
        if dim == "score":
            return str(event.score)
        if dim == "correct":
            return "true" if event.flags["correct"] else "false"
        return event.get(dim)

    def in_conversation(self, event: Event, dim: str) -> str | None:
        """A dimension of an event in a conversation: device, channel and inbox are carried."""
        if dim in CARRIED and event.get("conversation") is not None:
            return self.carried[event.id][dim]
        return self.own(event, dim)

    @cached_property
    def conversations(self) -> dict[str, list[Event]]:
        """The events of each conversation, in order."""
        return self._grouped(lambda event: event.get("conversation"))

    @cached_property
    def carried(self) -> dict[str, dict[str, str | None]]:
        """By event id the device, channel and inbox of each event in a conversation."""
        found: dict[str, dict[str, str | None]] = {}
        for events in self.conversations.values():
            latest: dict[str, str | None] = dict.fromkeys(CARRIED)
            for event in events:
                for dim in CARRIED:
                    # A device is the contact's: what staff and bots write on tells nothing.
                    if dim == "device" and is_message(event, "user", "bot"):
                        continue
                    if event.get(dim) is not None:
                        latest[dim] = event.get(dim)
                found[event.id] = dict(latest)
        return found

    def department(self, event: Event) -> str | None:
        """The event's own department, else its user's, else its inbox's."""
        own = event.get("department")
        if own is None:
            own = self.tenant.parent("user", event.get("user"), "department")
        if own is None:
            own = self.tenant.parent("inbox", self.in_conversation(event, "inbox"), "department")
        return own

    def location(self, department: str | None) -> str | None:
        """The location of a department."""
        return self.tenant.parent("department", department, "location")

    # Sessions and visits

    def _grouped(self, key: Callable[[Event], Key | None]) -> dict[Key, list[Event]]:
        """The events by a key, in order, without those that have none."""
        groups: dict[Key, list[Event]] = {}
        for event in self.events:
            value = key(event)
            if value is not None:
                groups.setdefault(value, []).append(event)
        return groups

    @cached_property
    def sessions(self) -> list[Session]:
        """The sessions of all contacts."""

        def contact_if_active(event: Event) -> str | None:
            active = event.type in ("message", "click") and event.get("experience") is not None
            return event.get("contact") if active else None

        found = []
        for activities in self._grouped(contact_if_active).values():
            rule, length = self.tenant.session_rule, self.tenant.session_length
            for window in windows(activities, rule, length):
                if not any(is_message(event) for event in window):
                    continue
                devices = [event.get("device") for event in window if event.get("device")]
                answered = [e for e in window if e.type == "click" or is_message(e, "contact")]
                found.append(
                    Session(
                        first=window[0],
                        experience=window[0].get("experience"),
                        device=devices[0] if devices else None,
                        with_conversation=bool(answered),
                    )
                )
        return found

    @cached_property
    def counted_visits(self) -> list[Event]:
        """The visits that count: the first of each fixed window of a contact."""
        visits = self._grouped(lambda e: e.get("contact") if e.type == "visit" else None)
        found = []
        for events in visits.values():
            for window in windows(events, "fixed", self.tenant.session_length):
                found.append(window[0])
        return found

    @cached_property
    def answered_starts(self) -> list[Event]:
        """Of each chat start that its contact answered, the first interaction."""

        def place(event: Event) -> tuple[str, str] | None:
            contact, experience = event.get("contact"), event.get("experience")
            if contact is None or experience is None:
                return None
            return (contact, experience)

        found = []
        for events in self._grouped(place).values():
            waiting = False
            for event in events:
                if event.type == "chat_start":
                    waiting = True
                elif waiting and (event.type == "click" or is_message(event, "contact")):
                    found.append(event)
                    waiting = False
        return found

    # Kinds of chats

    def month(self, event: Event) -> date:
        """The first date of the local month that holds an event."""
        key = self.clock.key("month", event.at)
        assert isinstance(key, date)
        return key

    @cached_property
    def chat_kinds(self) -> dict[tuple[str, date], str]:
        """The kind of each effective chat of a month, by conversation and month."""
        found: dict[tuple[str, date], str] = {}
        for conversation, events in self.conversations.items():
            months = {self.month(event) for event in events if event.type == "result"}
            for month in months:
                inside = [event for event in events if self.month(event) == month]
                leads = [e for e in inside if e.get("result_type") == "lead"]
                if any(is_message(event, "bot") for event in inside):
                    kind = "bot chat"
                elif any(event.type == "result" for event in leads):
                    kind = "lead"
                else:
                    kind = "service chat"
                found[conversation, month] = kind
        return found

    # After-sales

    @cached_property
    def after_sales(self) -> list[AfterSales]:
        """Every conversation that has a notification."""
        found = []
        for conversation, events in self.conversations.items():
            notifications = [event for event in events if event.type == "notification"]
            if not notifications:
                continue
            invitation = notifications[0]
            later = [event for event in events if event.key > invitation.key]
            answers = [event for event in later if is_message(event, "contact")]
            replies = [
                event
                for event in later
                if is_message(event, "user") and answers and event.key > answers[0].key
            ]
            found.append(
                AfterSales(
                    conversation=conversation,
                    invitation=invitation,
                    later=later,
                    sessions=self._after_sessions(later),
                    joined=bool(answers),
                    engaged=bool(replies),
                )
            )
        return found

    def _after_sessions(self, later: list[Event]) -> list[AfterSession]:
        """The sessions in what follows a notification."""
        messages = [event for event in later if is_message(event, "contact", "user")]
        found = []
        rule, length = self.tenant.session_rule, self.tenant.session_length
        for window in windows(messages, rule, length):
            by_users = [event for event in window if is_message(event, "user")]
            with_user = [event for event in by_users if event.get("user") is not None]
            telling = with_user[0] if with_user else window[0]
            found.append(
                AfterSession(
                    first=window[0],
                    user=with_user[0].get("user") if with_user else None,
                    department=self.department(telling),
                    channel=self.in_conversation(window[0], "channel"),
                )
            )
        return found

    def after_sales_place(
        self, chat: AfterSales, event: Event
    ) -> tuple[str | None, str | None, str | None]:
        """User, department and location of an after-sales message, field or result.

        One that names no user takes all three from the latest session begun by then.
        """
        begun = [s for s in chat.sessions if s.first.key <= event.key]
        if event.get("user") is None and begun:
            session = begun[-1]
            return (session.user, session.department, self.location(session.department))
        department = self.department(event)
        return (event.get("user"), department, self.location(department))
