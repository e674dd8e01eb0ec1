"""Random awkward records, the same ones for the same seed.

`tenants(seed, n)` gives the records of n tenants in load order, all of them valid. Their
times crowd around clock changes, month ends and now; ids come from small pools, so that
groups collide and one id means different things in different tenants.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

from .clock import clock
from .ranges import Shift, month_before, moved

#: The instant that the data crowds around and that questions over now mean.
NOW = datetime(2026, 4, 22, 9, 40, 12, 345678, tzinfo=UTC)
ZONES: tuple[str, ...] = ("Europe/Amsterdam", "America/New_York", "Asia/Kolkata")
ZONES += ("Australia/Lord_Howe", "Pacific/Auckland", "UTC")
RARE_ZONES = ("America/Havana", "Asia/Kathmandu")
SUFFIXES = ("", "", "", "é", "'q", ' "x"', "|y", "😀")
MICRO = timedelta(microseconds=1)

POOLS: dict[str, tuple[str, ...]] = {
    "contact": ("k1", "K1", "k2", "ké", "o'Brien", "7", "😀"),
    "experience": ("x1", "x2", 'x "q"', "7", "É"),
    "module": ("m1", "m2", "B", "a", "é"),
    "channel": ("web", "wa|1", "{c,d}"),
    "inbox": ("i1", "I1", "i;2"),
    "user": ("u1", "u2", "U1", "u'3", "ﬀ", "😀"),
    "bot": ("b1", "b\\2", "B1"),
    "department": ("d1", "d2", "[d]"),
    "location": ("l1", "(l|2)"),
    "folder": ("f1", "f%2", "ف"),
    "device": ("desktop", "mobile", "tablet"),
    "conversation": ("v1", "v2", "V1", "v'4", "v😀", "v6", "v7", "v,8", "v9"),
    "category": ("cat", "Cat", "=1+1", "2"),
    "field": ("mail", "postal_address", "3"),
}
#: Chances that an event outside of conversations names a dimension.
CHANCES = {"contact": 0.85, "experience": 0.8, "module": 0.7, "device": 0.6}
#: The single events: type and what makes its own fields.
SINGLES = (
    *("screen_time", "module_visit", "decision", *("share",) * 4, "participation"),
    *("opt_in",) * 5,
    *("email_entered", "data_entered", "door_opened", "nps", "nps", "pin", "pin"),
    *("code_entry", "quiz_answer", "picture_upload", "points", "coupon", "appointment"),
    *("contact_deleted", "live_chat", "bot_start", "chatpoint", "bot_points"),
)
SECONDS = (0, 1, 7.5, 0.1, 59.999, 60, 90, 3600, 12345678)
#: The values that the own fields of single events take, by type; the more often, the likelier.
OWN_FIELDS: dict[str, dict[str, tuple[object, ...]]] = {
    "screen_time": {"seconds": SECONDS},
    "live_chat": {"seconds": SECONDS},
    "decision": {"option": ("yes", "no", "a|b", 1, "1")},
    "opt_in": {
        "topic": (*("web_push", "reminder") * 3, "newsletter", "sms", "profiling"),
        "step": (*("asked", "single", "double") * 2, "rejected", "out"),
    },
    "share": {"via": ("facebook", "email", "native", "twitter", "whatsapp", "link")},
    "participation": {"won": (True, False, None)},
    "data_entered": {"field": (*POOLS["field"], 3, 3.0)},
    "door_opened": {"door": ("1", 24, "last")},
    "nps": {"score": (*range(11), 9.0, 6, 7), "text": (None, "fine", "=1")},
    "pin": {"step": ("sent", "succeeded", "failed")},
    "code_entry": {"correct": (True, False)},
    "quiz_answer": {
        "question": ("q1", "q'2", 2.0),
        "answer": ("A", "a", "é", 2.5),
        "correct": (True, False),
    },
    "points": {"points": (0, 5, 10, -3, -7.25, 0.1, 0.2, 1e3)},
    "bot_points": {"points": (1, 2.5, -4, 0.1, 100)},
    "coupon": {"step": ("uploaded", "issued", "entered"), "amount": (None, "", 0, 1, 2.5, 40)},
    "chatpoint": {"name": ("start", "end")},
}
#: Event ids start with one of these: they sort otherwise by code point than by a locale.
STARTS = ("B", "a", "é", "_", "Z", "😀", "ﬀ", "b", "'", "0")


#: Other instants to be now: on and beside clock changes, full hours, month and year ends.
NOWS = (
    NOW,
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Amsterdam's clock goes forward
    datetime(2026, 3, 31, 21, 30, tzinfo=UTC),  # the last half-hour of Amsterdam's March
    datetime(2026, 4, 4, 15, 20, tzinfo=UTC),  # the half-hour that Lord Howe repeats
    datetime(2025, 11, 2, 6, 30, tzinfo=UTC),  # the hour that New York repeats
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 2, 28, 23, tzinfo=UTC),  # Amsterdam's March begins
    datetime(2026, 3, 30, 10, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 8, 16, 0, 1, tzinfo=UTC),  # the day on which New York's clock went forward
    datetime(2025, 10, 26, 18, 30, tzinfo=UTC),  # a full hour of Kolkata
)


def tenants(seed: int, n: int, now: datetime = NOW) -> list[dict]:
    """The records of n tenants, shuffled into one load order."""
    records: list[dict] = []
    zone = ""
    for position in range(n):
        rng = random.Random(f"{seed}/{position}")
        # Some neighbours share a zone, so that their hours can be asked together.
        if not zone or rng.random() < 0.65:
            zone = rng.choice(RARE_ZONES if rng.random() < 0.12 else ZONES)
        tenant = f"s{seed}-{position}{rng.choice(SUFFIXES)}"
        records += _Maker(rng, tenant, zone, now).make()
    random.Random(f"{seed}/order").shuffle(records)
    return records


class _Maker:
    """Makes the records of one tenant."""

    def __init__(self, rng: random.Random, tenant: str, zone: str, now: datetime) -> None:
        self.rng = rng
        self.tenant = tenant
        self.now = now
        self.clock = clock(zone)
        self.minutes = rng.choice((None, 30, 30, 5, 1, 240, 45.0))
        self.length = timedelta(minutes=int(self.minutes or 30))
        self.records: list[dict] = []
        self.serial = 0
        self.anchors = self._anchors()

    def make(self) -> list[dict]:
        """All records of the tenant."""
        self._tenant()
        self._entities()
        self._potentials()
        for _ in range(self.rng.randint(6, 10)):
            self._chat()
        for _ in range(self.rng.randint(8, 14)):
            self._conversation()
        for _ in range(self.rng.randint(4, 7)):
            self._visits()
        for kind in SINGLES:
            for _ in range(self.rng.randint(1, 5)):
                self._event(kind, self._time(), **self._own(kind), **self._dims())
        self._repeat()
        return self.records

    # Times

    def _anchors(self) -> list[datetime]:
        """The instants that events crowd around: clock changes, starts of months, today, now."""
        rng, now = self.rng, self.now
        changes = self.clock.changes(now - timedelta(days=240), now)
        this_month = self.clock.date_of(now).replace(day=1)
        months = [self.clock.day_start(month_before(this_month, back)) for back in range(7)]
        anchors = rng.sample(changes, min(2, len(changes)))
        anchors += rng.sample(months, 2)
        anchors += [months[0], self.clock.start("day", now), now]
        anchors.append(now - timedelta(days=rng.randint(2, 30)))
        return anchors

    def _time(self) -> datetime:
        """An instant near an anchor: on it, a tick or an hour beside it, or days away.

        Now and then it lies where a comparison looks: weeks or a month before the anchor.
        """
        rng = self.rng
        anchor = rng.choice(self.anchors)
        if rng.random() < 0.25:
            back = Shift(*rng.choice((("day", 7), ("day", 14), ("day", 21), ("month", 1))))
            anchor = moved(anchor, back, self.clock)
        choice = rng.random()
        if choice < 0.12:
            return anchor
        if choice < 0.2:
            return anchor + rng.choice((-1, 1)) * MICRO
        if choice < 0.4:
            return anchor + rng.randint(-8, 8) * timedelta(minutes=15)
        if choice < 0.75:
            return anchor + timedelta(seconds=rng.randint(-12_000, 12_000))
        return anchor + timedelta(seconds=rng.randint(-200_000, 200_000))

    def _gap(self) -> timedelta:
        """The time to the next event: often the session's very length, or a tick beside."""
        return self.rng.choice(
            (
                timedelta(0),
                MICRO,
                self.length,
                self.length,
                self.length + MICRO,
                self.length - MICRO,
                self.length / 3,
                self.length / 2,
                timedelta(seconds=self.rng.randint(1, 4000)),
                timedelta(hours=self.rng.randint(1, 40)),
            )
        )

    def _spelled(self, at: datetime) -> str:
        """An instant as RFC 3339, in one of the ways to write it."""
        offset = self.rng.choice((None, None, None, 60, -300, 330, 765))
        zone = UTC if offset is None else timezone(timedelta(minutes=offset))
        local = at.astimezone(zone)
        fraction = f".{local.microsecond:06d}" if local.microsecond else ""
        if fraction and self.rng.random() < 0.2:
            fraction += "9"  # cut off
        elif not fraction and self.rng.random() < 0.2:
            fraction = ".000"
        shown = f"{local:%Y-%m-%dT%H:%M:%S}{fraction}"
        if offset is None:
            return shown + self.rng.choice(("Z", "Z", "z", "+00:00"))
        return f"{shown}{zone.tzname(None)[3:]}"

    # Records

    def _id(self, pool: str) -> str | int | float:
        """An id of a pool; one that looks like a number is sometimes given as one."""
        value = self.rng.choice(POOLS[pool])
        if value.isascii() and value.isdigit() and self.rng.random() < 0.5:
            return self.rng.choice((int(value), float(value)))
        return value

    def _event(self, kind: str, at: datetime, **fields: object) -> None:
        """Add an event with its own fields and dimensions; some say nothing in two ways."""
        rng = self.rng
        self.serial += 1
        event_id: str | int = f"{STARTS[self.serial * 7 % len(STARTS)]}{self.serial}"
        if rng.random() < 0.02:
            event_id = 1000 + self.serial
        record: dict = {"type": kind, "tenant": self.tenant, "id": event_id}
        record["at"] = self._spelled(at)
        record.update((name, value) for name, value in fields.items() if value is not None)
        for name in ("contact", "device", "channel", "inbox", "department", "category", "won"):
            if name not in record and rng.random() < 0.06:
                record[name] = rng.choice(("", None))
        if rng.random() < 0.05:
            record["campaign"] = rng.choice(({"a": [1, None]}, "spring", 3.5, None))
        items = list(record.items())
        rng.shuffle(items)
        self.records.append(dict(items))

    def _maybe(self, pool: str, chance: float) -> object:
        return self._id(pool) if self.rng.random() < chance else None

    def _dims(self) -> dict[str, object]:
        dims = {pool: self._maybe(pool, chance) for pool, chance in CHANCES.items()}
        dims["user"] = self._maybe("user", 0.1)
        dims["bot"] = self._maybe("bot", 0.3)
        return dims

    def _own(self, kind: str) -> dict[str, object]:
        """The own fields of a single event, each with one of its values."""
        fields = OWN_FIELDS.get(kind, {})
        return {name: self.rng.choice(values) for name, values in fields.items()}

    # Stories

    def _chat(self) -> None:
        """A contact in an experience: a start, clicks and messages with telling gaps."""
        rng = self.rng
        at, contact, experience = self._time(), self._id("contact"), self._id("experience")
        for step in range(rng.randint(2, 7)):
            kind = rng.choice(("chat_start", "click", "message", "message", "message"))
            if step == 0 and rng.random() < 0.7:
                kind = "chat_start"
            fields: dict[str, object] = {
                "contact": contact if rng.random() < 0.92 else None,
                "experience": experience if rng.random() < 0.9 else self._maybe("experience", 0.6),
                "device": self._maybe("device", 0.4),
                "conversation": self._maybe("conversation", 0.1),
            }
            if kind == "message":
                fields["from"] = rng.choice(("contact", "bot", "bot", "user"))
            self._event(kind, at, **fields)
            at += self._gap()

    def _conversation(self) -> None:
        """A conversation: messages, routing, results, mostly with a notification."""
        rng = self.rng
        at, conversation = self._time(), self._id("conversation")
        contact = self._maybe("contact", 0.8)
        kinds = ["message"] * rng.randint(4, 9)
        for kind in ("notification", "result", "result", "field_set", "field_set", "routed"):
            if rng.random() < 0.6:
                kinds.insert(rng.randint(0, 2 if kind == "notification" else len(kinds)), kind)
        for kind in ("chatpoint", "bot_start", "click", "visit", "bot_points"):
            if rng.random() < 0.15:
                kinds.insert(rng.randint(0, len(kinds)), kind)
        for kind in kinds:
            fields: dict[str, object] = {
                "conversation": conversation if rng.random() < 0.96 else None,
                "contact": contact if rng.random() < 0.9 else None,
                "device": self._maybe("device", 0.25),
                "channel": self._maybe("channel", 0.2),
                "inbox": self._maybe("inbox", 0.15),
                "department": self._maybe("department", 0.12),
                "user": self._maybe("user", 0.15),
                "bot": self._maybe("bot", 0.1),
            }
            fields.update(self._in_conversation(kind))
            self._event(kind, at, **fields)
            at += self._gap()

    def _in_conversation(self, kind: str) -> dict[str, object]:
        """The own fields of an event in a conversation, and the dims that go with it."""
        rng = self.rng
        if kind == "message":
            sender = rng.choice(("contact", "contact", "bot", "user", "user"))
            if sender == "user":
                return {"from": sender, "user": self._maybe("user", 0.75)}
            if sender == "bot":
                return {"from": sender, "bot": self._maybe("bot", 0.7)}
            return {"from": sender, "experience": self._maybe("experience", 0.2)}
        if kind == "result":
            return {
                "result_type": rng.choice(("lead", "service")),
                "category": self._maybe("category", 0.6),
                "user": self._maybe("user", 0.5),
            }
        if kind == "field_set":
            return {"field": self._id("field")}
        if kind == "routed":
            return {"inbox": self._maybe("inbox", 0.9)}
        if kind == "notification":
            return {"channel": self._maybe("channel", 0.6)}
        return self._own(kind)

    def _visits(self) -> None:
        """Visits of one contact, a window's length apart or nearly."""
        at, contact = self._time(), self._maybe("contact", 0.9)
        for _ in range(self.rng.randint(1, 4)):
            device = self._maybe("device", 0.3)
            self._event("visit", at, contact=contact, device=device)
            at += self._gap()

    # Entities

    def _tenant(self) -> None:
        """The tenant's record: mostly one, sometimes replaced, sometimes none."""
        rng = self.rng
        for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 2))):
            record = {
                "type": "tenant",
                "id": self.tenant,
                "timezone": self.clock.name,
                "business_type": rng.choice(("dealership", "dealership", "dealership", "", None)),
                "session_rule": rng.choice(("fixed", "inactivity", "", None)),
                "session_minutes": self.minutes,
            }
            self.records.append(record)

    def _entities(self) -> None:
        """Records of most entities, some replaced by a later one that moves them."""
        rng = self.rng
        parents = {
            "experience": ("folder",),
            "module": ("experience",),
            "department": ("location",),
            "inbox": ("department",),
            "user": ("department",),
        }
        kinds = ("folder", "experience", "module", "location", "department", "inbox")
        for kind in (*kinds, "channel", "user", "bot"):
            for entity in POOLS[kind]:
                for _ in range(rng.choice((0, 1, 1, 1, 2))):
                    record: dict = {"type": kind, "tenant": self.tenant, "id": entity}
                    record["name"] = rng.choice((entity.upper(), "", f"{entity} & co"))
                    for parent in parents.get(kind, ()):
                        if rng.random() < 0.85:
                            record[parent] = rng.choice((*POOLS[parent], *POOLS[parent], "", None))
                    if kind == "module":
                        record["module_type"] = rng.choice(("quiz", "Quiz", "jump", "", None))
                    if kind == "user":
                        record["role"] = rng.choice(("agent", "admin", "guest", "", None))
                        record["level"] = rng.choice((0, 1, 2, 3, 2.0, None))
                    if kind in ("user", "bot", "channel", "department") and rng.random() < 0.3:
                        record["active"] = rng.choice((True, False))
                    self.records.append(record)

    def _potentials(self) -> None:
        """Potentials of some months: fields named, left out, ended by null."""
        rng = self.rng
        names = ("inbound_leads", "workshop_jobs", "sales_advisors", "service_advisors")
        for month in ("2025-06", "2025-10", "2025-12", "2026-01", "2026-03", "2026-04", "2026-06"):
            for _ in range(rng.choice((0, 1, 1, 2))):
                record: dict = {"type": "potential", "tenant": self.tenant, "month": month}
                for name in (*names, "website_visitors"):
                    if rng.random() < 0.65:
                        record[name] = rng.choice((0, 10, 100, 100, 250, 12.5, None, ""))
                if rng.random() < 0.3:
                    record["id"] = rng.choice(("p1", "", None, 3))
                self.records.append(record)

    def _repeat(self) -> None:
        """Load some events twice, with the same content."""
        events = [record for record in self.records if "at" in record]
        for record in self.rng.sample(events, 8):
            items = list(record.items())
            self.rng.shuffle(items)
            self.records.append(dict(items))
