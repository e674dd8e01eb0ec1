"""What happens in one tenant: the visits, chats and conversations of its days, as JSON lines.

Instants here are integers, milliseconds since 1970 UTC.
"""

from bisect import bisect
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from .words import nps_answers
from .world import Cast, Experience, Tenant

DAY = 86_400_000
MINUTE = 60_000

# Arrivals per local hour 0 to 23, and on Saturday and Sunday as parts of a working day.
_HOURS = {
    "brand": "2 1 1 1 1 2 5 8 10 12 13 13 10 11 12 12 12 12 13 17 20 19 12 6",
    "dealership": "1 1 0 0 1 1 3 8 18 26 28 25 13 20 25 24 22 16 9 8 7 5 3 1",
    "financial_services": "1 0 0 0 0 1 3 8 20 28 30 26 15 22 26 25 20 12 7 6 5 4 2 1",
    "other": "2 1 1 1 1 2 4 8 12 15 15 13 9 12 13 12 11 10 8 7 6 5 4 3",
}
_WEEKENDS = {"brand": (1.2, 1.15), "dealership": (0.75, 0.25), "financial_services": (0.2, 0.1),
             "other": (1.3, 1.4)}
_SEASONS = (0.9, 0.85, 1.0, 1.05, 1.1, 1.0, 0.85, 0.8, 1.05, 1.1, 1.15, 1.2)

CONTACT, BOT, USER = ',"from":"contact"', ',"from":"bot"', ',"from":"user"'


def _opt_in(topic: str, single: float) -> list["Beat"]:
    asked, single_, double, rejected, out = (
        f',"topic":"{topic}","step":"{step}"'
        for step in ("asked", "single", "double", "rejected", "out"))
    return [(1, "opt_in", (asked,), ""), (single, "opt_in", (single_,), rejected),
            (0.65, "opt_in", (double,), ""), (0.04, "opt_in", (out,), "")]


def _deck(name: str, **values: int | None) -> tuple[str, ...]:
    """JSON fields `,"name":value`, each as often as its number says."""
    return tuple(f',"{name}":"{v}"' for v, often in values.items() for _ in range(often or 1))


# What can happen in a module, in order: chance that it does after the one before, event type,
# own fields to draw one from, own fields of what happens instead ("": nothing). No → stop.
Beat = tuple[float, str, tuple[str, ...], str]
_BEATS: dict[str, list[Beat]] = {
    "decision": [(0.9, "decision", _deck("option", advice=5, buy=4, ask=3, browse=2), "")],
    **{topic: _opt_in(topic, single) for topic, single in (
        ("web_push", 0.4), ("reminder", 0.45), ("newsletter", 0.5), ("sms", 0.25),
        ("profiling", 0.35))},
    "share": [(0.35, "share", _deck("via", whatsapp=7, link=4, native=3, facebook=3, email=2,
                                    twitter=1), "")],
    "email": [(0.7, "email_entered", ("",), ""),
              (0.3, "data_entered", _deck("field", first_name=3, birthday=1), "")],
    "personal_data": [(0.8, "data_entered", _deck("field", first_name=1, last_name=1), ""),
                      (0.7, "data_entered", _deck("field", phone=2, postal_address=3), "")],
    "sign_in": [(1, "pin", (',"step":"sent"',), ""),
                (0.86, "pin", (',"step":"succeeded"',), ',"step":"failed"')],
    "code_entry": [(0.9, "code_entry", (',"correct":true',) * 4 + (',"correct":false',), "")],
    "quiz": [(0.9, "quiz_answer", tuple(
        f',"question":"{q}","answer":"{a}","correct":{str(a == right).lower()}'
        for q, right in (("How hot should it be?", "80"), ("Where does it grow?", "Peru"))
        for a in (("80", "80", "60", "95") if right == "80" else ("Peru", "Peru", "Kenya"))), "")],
    "picture": [(0.45, "picture_upload", ("",), "")],
    "loyalty_points": [(0.9, "points", (',"points":10', ',"points":25', ',"points":50'), "")],
    "reward": [(0.3, "points", (',"points":-100', ',"points":-250'), "")],
    "coupon": [(0.8, "coupon", (',"step":"issued"',), ""),
               (0.4, "coupon", (',"step":"entered"',), "")],
    "giveaway": [(0.75, "participation", ("",), "")],
    "instant_win": [(0.9, "participation", (',"won":false',) * 7 + (',"won":true',), "")],
    "appointment": [(0.5, "appointment", ("",), "")],
}
_DEVICES = ("mobile",) * 56 + ("desktop",) * 36 + ("tablet",) * 5 + ("",) * 3
_TOUCHPOINTS = ("web",) * 58 + ("whatsapp",) * 20 + ("facebook",) * 8 + ("email",) * 6 + (
    "sms",) * 4 + ("other",) * 2 + ("",) * 2
_LEADS = ("advice", "order", "call_back", "offer")
_SERVICES = ("after_sales", "opening_hours", "complaint", "delivery", "")


@cache
def _iso(day: int) -> str:
    return f"{date.fromordinal(719_163 + day)}T"


_MINUTES = [f"{n // 60:02d}:{n % 60:02d}:" for n in range(1440)]


def campaign(tenant: Tenant, day: date) -> str:
    """The season of an experience that is pushed on a local day: "december", "week" or ""."""
    if day.month == 12 and day.day <= 24 and tenant.business != "financial_services":
        return "december"
    return "week" if (day.toordinal() // 7 + len(tenant.id)) % 7 == 0 else ""


class Story:
    """One tenant's events: `day` adds those that begin on a local day to `out`.

    `out` takes (instant at which the record arrives, line without its break); nothing that
    happens after `until` is told and no more than `quota` events, repeated records aside.
    """

    def __init__(self, tenant: Tenant, people: Cast, seed: int, until: int, quota: int,
                 dates: Sequence[date], out: list[tuple[int, str]]) -> None:
        """Plan the local `dates`, ascending; `seed` and the tenant decide all chance."""
        self.tenant, self.people, self.until, self.quota, self.out = (
            tenant, people, until, quota, out)
        self.rng = Random(f"{seed}/{tenant.id}")
        self.random = self.rng.random
        self.told = self.contacts = self.talks = 0
        self.deleted: set[int] = set()
        self.head = f'","tenant":"{tenant.id}","id":"e'
        self.beats = {**_BEATS, "nps": [(0.6, "nps", nps_answers(self.rng, tenant.languages), "")]}
        self.hours = [0.0, *accumulate(map(float, _HOURS[tenant.business].split()))]
        self.zone = ZoneInfo(tenant.zone)
        self.end = self.hours[-1]  # of the day under way, in arrivals
        self.today, self.early = dates[0], True
        self.plan = list(accumulate(self._weight(n / len(dates), day) for n, day in
                                    enumerate(dates)))

    def _midnight(self, day: date) -> int:
        noon = datetime.combine(day, time(12), self.zone)
        return round((noon - timedelta(hours=12)).astimezone(UTC).timestamp() * 1000)

    def _weight(self, progress: float, day: date) -> float:
        """How busy a local day is: growth, season, weekday, campaigns, chance, cut at `until`."""
        weight = (0.6 + 0.8 * progress) * _SEASONS[day.month - 1] * (0.85 + 0.3 * self.random())
        if day.weekday() > 4:
            weight *= _WEEKENDS[self.tenant.business][day.weekday() - 5]
        if (day.month, day.day) in ((12, 25), (12, 26), (1, 1)):
            weight *= 0.3
        return weight * (1.6 if campaign(self.tenant, day) else 1) * (
            self._elapsed(self._midnight(day)) / self.hours[-1] + 1e-9)

    def _elapsed(self, midnight: int) -> float:
        """The part of `hours` between a local midnight and `until`."""
        hour, rest = divmod(max(0, self.until - midnight), DAY // 24)
        if hour > 23:
            return self.hours[-1]
        return self.hours[hour] + (self.hours[hour + 1] - self.hours[hour]) * rest * 24 / DAY

    def day(self, n: int, day: date) -> None:
        """Tell the nth day.

        On every other one of the last four weeks somebody tries all there is in an experience, a
        conversation or an invitation, so that no chart is empty.
        """
        midnight, random = min(self._midnight(day), self.until), self.random
        self.end, self.today, self.early = self._elapsed(midnight), day, 2 * n < len(self.plan)
        season, experiences = campaign(self.tenant, day), self.people.experiences
        odds = list(accumulate(e.weight * (
            9 if season and e.season == season else 0.2 if e.season else 1) for e in experiences))
        if day.day in (1, 15):  # staff, too, comes to the site: no month is without a visit
            self._upload(self._visit(midnight + 8 * 60 * MINUTE, *self._contact()))
        tour, odd = divmod(n - len(self.plan) + 29, 2)  # 0 is 28 days before the last one
        if tour >= 0 and not odd and self.quota > 5000:
            if tour < len(experiences):
                self._chat(self._start(midnight), experiences[tour], True)
            elif tour < len(experiences) + 2:
                (self._talk, self._invite)[tour % 2](self._start(midnight), True)
        target = min(self.quota, round(self.quota * self.plan[n] / self.plan[-1]))
        invites = 0.87 if self.tenant.business == "dealership" else 0.95
        while self.told < target:
            start = self._start(midnight)
            if random() < self.tenant.chat:
                self._chat(start, experiences[bisect(odds, random() * odds[-1])])
            elif (x := random()) < 0.55:
                self._visit(start, *self._contact())
            elif x < invites:
                self._talk(start)
            else:
                self._invite(start)

    def _start(self, midnight: int) -> int:
        """An instant of the day under way, drawn from the hours that have passed."""
        x = self.random() * self.end
        hour = bisect(self.hours, x) - 1
        if hour > 23:
            return midnight
        part = (x - self.hours[hour]) / (self.hours[hour + 1] - self.hours[hour])
        return midnight + int((hour + part) * DAY / 24)

    def _put(self, at: int, kind: str, dims: str, own: str = "") -> None:
        """Tell one event; `dims` and `own` are JSON fields. A few arrive late or twice."""
        if at > self.until or self.told >= self.quota:
            return
        self.told += 1
        day, rest = divmod(at, DAY)
        minute, ms = divmod(rest, MINUTE)
        line = (f'{{"type":"{kind}{self.head}{self.told:08x}",'
                f'"at":"{_iso(day)}{_MINUTES[minute]}{ms // 1000:02d}.{ms % 1000:03d}Z",'
                f'{dims}{own}}}')
        chance = self.random()
        if chance < 0.004:
            later = at + int(chance * 250 * DAY)
            self.out.append((later, line))
            if chance > 0.002:
                return
        self.out.append((at, line))

    def _contact(self) -> tuple[str, str]:
        """A new or a returning contact: the field that names it, the one of its device."""
        n, random = self.contacts, self.random
        if n < 3 or (x := random()) < 0.5:
            pick = 0
        elif x < 0.75:
            pick = n - int(n * random() ** 4)  # somebody seen lately
        else:
            pick = 1 + int(n * random() ** 3)  # one of the regulars
        if not pick or pick in self.deleted:
            self.contacts = pick = n + 1
        device = _DEVICES[pick * 7919 % 100]
        return f'"contact":"c{pick}"', f',"device":"{device}"' if device else ""

    def _upload(self, at: int) -> None:
        """Staff loads new coupon codes."""
        for experience in self.people.experiences:
            for module, kind in experience.modules:
                if kind == "coupon":
                    self._put(at, "coupon", f'"experience":"{experience.id}","module":"{module}"',
                              ',"step":"uploaded","amount":250')

    def _chat(self, t: int, experience: Experience, tour: bool = False) -> None:
        """One contact goes through an experience until it loses interest."""
        put, random = self._put, self.random
        contact, device = self._contact()
        base = f'{contact},"experience":"{experience.id}"{device}'
        begin = t
        put(t, "chat_start", base)
        for _ in range(1 if random() < 0.5 else 2):
            t += 300 + int(random() * 1500)
            put(t, "message", base, BOT)
        talks, position = tour or random() > 0.44, 0
        while talks and position < len(experience.modules) and (
                tour or position == 0 or random() < 0.86):
            if random() < 0.04:  # comes back some other time
                put(t, "screen_time", base, f',"seconds":{(t - begin) // 1000}')
                begin = t = t + int((40 + random() * 100) * MINUTE)
            module, kind = experience.modules[position]
            dims = f'{base},"module":"{module}"'
            t += 500 + int(random() * 2000)
            put(t, "module_visit", dims)
            put(t + 200, "message", dims, BOT)
            t += 2000 + int(random() ** 2 * 40_000)
            if random() < 0.7:
                put(t, "click", dims)
            else:
                put(t, "message", dims, CONTACT)
            if kind == "advent_calendar":
                door = min(self.today.day, 24)
                put(t + 900, "door_opened", dims, f',"door":"{door}"')
            elif kind == "live_chat":
                t = self._live_chat(t, dims) if tour or random() < 0.25 else t
            else:
                t = self._module(t, kind, dims, tour)
            position += 2 if kind == "decision" and not tour and random() < 0.3 else 1
        if random() < 0.8:
            t += int(random() * 20_000)
            put(t, "screen_time", base, f',"seconds":{(t - begin) // 1000}')
        if random() < 0.004 or (tour and experience.id == "exp-1"):
            put(t + 5000, "contact_deleted", base)
            self.deleted.add(int(contact[12:-1]))

    def _module(self, t: int, kind: str, dims: str, tour: bool) -> int:
        """What the contact does in one module; the instant when it is done."""
        random = self.random
        for chance, event, owns, instead in self.beats.get(kind, ()):
            if tour:
                for own in [*dict.fromkeys(owns)][:6] + ([instead] if instead else []):
                    t += 1000
                    self._put(t, event, dims, own)
                continue
            t += 1500 + int(random() ** 2 * 30_000)
            if random() >= chance:
                if instead:
                    self._put(t, event, dims, instead)
                break
            self._put(t, event, dims, owns[int(random() * len(owns))])
        return t

    def _live_chat(self, t: int, dims: str) -> int:
        begin, user = t, self._user()
        self.talks += 1
        both = f'{dims},"conversation":"v{self.talks}"'
        t = self._dialog(t + 30_000, both, both, user, 2, 1)
        self._put(t, "live_chat", f"{both}{user}", f',"seconds":{(t - begin) // 1000}')
        return t + 1000

    def _user(self, inbox: str = "") -> str:
        """A member of staff as a field: mostly of the inbox's department if there is one."""
        staff = self.people.users + self.people.former if self.early else self.people.users
        place = inbox[6:] if self.random() < 0.8 else ""  # the platform's own are in no department
        mates = [u for u in staff if u[1][4:] == place] or staff
        return f',"user":"{mates[int(self.random() ** 1.6 * len(mates))][0]}"'

    def _dialog(self, t: int, asks: str, answers: str, user: str, turns: int, pace: float) -> int:
        """Contact and user take turns; `pace` 1 is a chat, more is slower. When it ended."""
        random, own = self.random, USER + user
        for _ in range(turns):
            t += int((5000 + random() ** 3 * 90_000) * pace)
            self._put(t, "message", asks, CONTACT)
            t += int((8000 + random() ** 3 * 120_000) * pace)
            self._put(t, "message", answers, own)
            if random() < 0.2:
                t += int(25_000 * pace)
                self._put(t, "message", answers, own)
        return t

    def _visit(self, t: int, contact: str, device: str) -> int:
        """A contact looks at one to three pages of the website; the instant of the last."""
        self._put(t, "visit", contact + device)
        while self.random() < 0.3:
            t += 10_000 + int(self.random() * 10 * MINUTE)
            self._put(t, "visit", contact + device)
        return t

    def _end(self, t: int, dims: str, user: str, lead: float) -> None:
        """Maybe fields and a result, by chance a lead; both for sure when `lead` is 1."""
        random = self.random
        for name in ("name", "phone", "license_plate"):
            if random() < 0.45 or lead == 1:
                self._put(t + 2000, "field_set", dims + user, f',"field":"{name}"')
        if random() < 0.62 or lead == 1:
            kind, deck = ("lead", _LEADS) if random() < lead else ("service", _SERVICES)
            category = deck[int(random() ** 1.5 * len(deck))]
            self._put(t + 4000, "result", dims + user, f',"result_type":"{kind}"' + (
                f',"category":"{category}"' if category else ""))

    def _talk(self, t: int, tour: bool = False) -> None:
        """A conversation: from the website or another channel, with a bot, staff or both."""
        put, random = self._put, self.random
        contact, device = self._contact()
        channel = _TOUCHPOINTS[int(random() * 100)]
        self.talks += 1
        dims = f'{contact},"conversation":"v{self.talks}"' if random() < 0.99 else (
            f'"conversation":"v{self.talks}"')
        if channel == "web":
            t = self._visit(t, contact, device) + 5000
        named = f'{dims},"channel":"ch-{channel}"' if channel else dims
        first = named + device if channel in ("web", "facebook") else named
        inboxes, user, inbox = self.people.inboxes, "", ""
        if human := tour or random() < 0.72:
            inbox = inboxes[int(random() ** 1.5 * len(inboxes))]
            user = self._user(inbox)
        routed = 1 - random() if human else 0  # early, after the bot or never
        if routed > 0.3:
            put(t, "routed", first, f',"inbox":"{inbox}"')
        if tour or random() < 0.7:
            number = int(random() ** 1.5 * (5 if self.early else 4))
            bot = f'{dims},"bot":"{self.people.bots[number]}"'
            put(t + 100, "bot_start", bot + first[len(dims):])
            put(t + 300, "message", bot if random() < 0.98 else dims, BOT)
            for point in ("asked", "answered", "contact details")[:2 if random() < 0.5 else 3]:
                t += 4000 + int(random() * 30_000)
                put(t, "message", first, CONTACT)
                put(t + 400, "chatpoint", bot, f',"name":"{point}"')
                put(t + 700, "message", bot, BOT)
            if tour or random() < 0.5:
                put(t + 900, "bot_points", bot, f',"points":{5 + 5 * int(random() * 4)}')
        else:
            put(t + 100, "message", first, CONTACT)
        if human:
            if 0.07 < routed <= 0.3:
                put(t + 1500, "routed", dims, f',"inbox":"{inbox}"')
            pace = 1.0 if channel == "web" else 1 + random() * 20
            t = self._dialog(t + 1500, first, dims, user, 1 + int(random() ** 2 * 6), pace)
            if random() < 0.1:  # goes on later
                t += int((20 + random() * 8) * 60 * MINUTE)
                t = self._dialog(t, named, dims, self._user(inbox), 2, 2)
        self._end(t, dims, user, 1 if tour else 0.55)

    def _invite(self, t: int, tour: bool = False) -> None:
        """After sales: an invitation by WhatsApp, maybe an answer, maybe a talk of days."""
        put, random = self._put, self.random
        contact, _ = self._contact()
        self.talks += 1
        dims = f'{contact},"conversation":"v{self.talks}"'
        channel = "whatsapp" if random() < 0.9 else "sms"
        put(t, "notification", dims, f',"channel":"ch-{channel}"')
        put(t + 500, "message", f'{dims},"bot":"{self.people.bots[2]}"', BOT)
        if not tour and random() >= 0.6:
            return
        t += int((2 + random() ** 3 * 240) * MINUTE)
        put(t, "message", dims, CONTACT)
        if not tour and random() >= 0.8:
            return
        inboxes = self.people.inboxes
        inbox = inboxes[int(random() * len(inboxes))]
        put(t + 1000, "routed", dims, f',"inbox":"{inbox}"')
        user = self._user(inbox)
        put(t + 90_000, "message", dims, USER + user)
        for _ in range(1 if tour else 1 + int(random() * 3)):
            t = self._dialog(t + 95_000, dims, dims, user, 1 + int(random() * 2), 4)
            self._end(t, dims, user if random() < 0.7 else "", 1 if tour else 0.15)
            t += int((20 + random() * 8) * 60 * MINUTE)
