"""What happens in one tenant: the visits, chats and conversations of its days, as JSON lines.

Instants here are integers, milliseconds since 1970 UTC.
"""

from bisect import bisect
from collections.abc import Sequence
from datetime import date, datetime, time
from functools import cache
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from .world import WORLD, Cast, Experience, Tenant, fields, nps_answers

DAY = 86_400_000
MINUTE = 60_000
# Times are put together from these: an event is told in a microsecond.
MINUTES = [f"{n // 60:02d}:{n % 60:02d}:" for n in range(1440)]
SECONDS = [f"{n // 1000:02d}.{n % 1000:03d}Z" for n in range(MINUTE)]
CONTACT, BOT, USER = ',"from":"contact"', ',"from":"bot"', ',"from":"user"'
DEVICES, TOUCHPOINTS = (
    [name for name, times in WORLD[names].items() for _ in range(times)]
    for names in ("devices", "touchpoints")
)
BOTS = ("bot-1", "bot-2", "bot-3", "bot-4", "bot-5")  # the last one was switched off
RESULTS = {
    kind: [fields({"result_type": kind} | own) for own in owns]
    for kind, owns in WORLD["results"].items()
}
# What can happen in a module of a type: chance, event, fields to draw from, fields instead.
BEATS = {
    module: [
        (
            beat.get("chance", 1),
            beat["event"],
            [fields(own) for own in beat.get("own", [{}]) for _ in range(own.pop("times", 1))],
            fields(beat.get("instead", {})),
        )
        for beat in beats
    ]
    for module, beats in WORLD["beats"].items()
}


@cache
def _date(day: int) -> str:
    return f"{date.fromordinal(719_163 + day)}T"


def campaign(tenant: Tenant, day: date) -> str:
    """Return the season that is pushed on a local day: "december", "week" or ""."""
    if day.month == 12 and day.day <= 24 and tenant.business != "financial_services":
        return "december"
    return "week" if (day.toordinal() // 7 + len(tenant.id)) % 7 == 0 else ""


class Story:
    """One tenant's events: `day` adds those that begin on a local day to `out`.

    `out` takes (instant at which the record arrives, line without its break); nothing that
    happens after `until` is told and no more than `quota` events, repeated records aside.
    """

    def __init__(
        self,
        tenant: Tenant,
        people: Cast,
        seed: int,
        until: int,
        quota: int,
        dates: Sequence[date],
        out: list[tuple[int, str]],
    ) -> None:
        """Plan the local `dates`, ascending; `seed` and the tenant decide all chance."""
        self.tenant, self.people, self.until, self.quota, self.out = (
            tenant,
            people,
            until,
            quota,
            out,
        )
        self.rng = Random(f"{seed}/{tenant.id}")
        self.random = self.rng.random
        self.told = self.contacts = self.talks = 0
        self.deleted: set[int] = set()
        self.head = f'","tenant":"{tenant.id}","id":"e'
        self.beats = BEATS | {"nps": [(0.6, "nps", nps_answers(self.rng, tenant.languages), "")]}
        self.business = WORLD["businesses"][tenant.business]
        self.hours = [0.0, *accumulate(map(float, self.business["hours"]))]
        self.zone = ZoneInfo(tenant.zone)
        self.end = self.hours[-1]  # of the day under way, in arrivals
        self.dates, self.today, self.early = dates, dates[0], True
        self.plan = [*accumulate(self._weight(n / len(dates), d) for n, d in enumerate(dates))]

    def _midnight(self, day: date) -> int:
        return round(datetime.combine(day, time(), self.zone).timestamp() * 1000)

    def _pick(self, deck: Sequence[str], bias: float = 1) -> str:
        """Draw one of the deck; above 1, `bias` favours the first ones."""
        return deck[int(self.random() ** bias * len(deck))]

    def _weight(self, progress: float, day: date) -> float:
        """Return how busy a local day is: growth, season, weekday, campaigns, chance."""
        weight: float = (0.6 + 0.8 * progress) * WORLD["seasons"][day.month - 1]
        weight *= 0.85 + 0.3 * self.random()
        if day.weekday() > 4:
            weight *= self.business["weekend"][day.weekday() - 5]
        if (day.month, day.day) in ((12, 25), (12, 26), (1, 1)):
            weight *= 0.3
        return (
            weight
            * (1.6 if campaign(self.tenant, day) else 1)
            * (self._elapsed(self._midnight(day)) / self.hours[-1] + 1e-9)
        )

    def _elapsed(self, midnight: int) -> float:
        """Return the part of `hours` between a local midnight and `until`."""
        hour, rest = divmod(max(0, self.until - midnight), DAY // 24)
        if hour > 23:
            return self.hours[-1]
        return self.hours[hour] + (self.hours[hour + 1] - self.hours[hour]) * rest * 24 / DAY

    def day(self, n: int) -> None:
        """Tell the nth of the dates.

        On every other one of the last four weeks somebody tries all there is in an experience, a
        conversation or an invitation, so that no chart is empty.
        """
        self.today, self.early = self.dates[n], 2 * n < len(self.dates)
        day, random = self.today, self.random
        midnight = min(self._midnight(day), self.until)
        self.end = self._elapsed(midnight)
        season, experiences = campaign(self.tenant, day), self.people.experiences
        odds = list(
            accumulate(
                e.weight * (9 if season and e.season == season else 0.2 if e.season else 1)
                for e in experiences
            )
        )
        if day.day in (1, 15):  # staff loads coupons and visits the site: each month has a visit
            at = self._visit(midnight + 8 * 60 * MINUTE, *self._contact())
            coupons = [(e.id, m) for e in experiences for m, kind in e.modules if kind == "coupon"]
            for experience, module in coupons:
                dims = f'"experience":"{experience}","module":"{module}"'
                self._put(at, "coupon", dims, ',"step":"uploaded","amount":250')
        tour, odd = divmod(n - len(self.dates) + 29, 2)  # 0 is 28 days before the last one
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
        """Return an instant of the day under way, drawn from the hours that have passed."""
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
        line = (
            f'{{"type":"{kind}{self.head}{self.told:08x}",'
            f'"at":"{_date(day)}{MINUTES[minute]}{SECONDS[ms]}",{dims}{own}}}'
        )
        chance = self.random()
        if chance < 0.004:
            later = at + int(chance * 250 * DAY)
            self.out.append((later, line))
            if chance > 0.002:
                return
        self.out.append((at, line))

    def _contact(self) -> tuple[str, str]:
        """Return a new or a returning contact: the field that names it, the one of its device."""
        n, random = self.contacts, self.random
        if n < 3 or (x := random()) < 0.5:
            pick = 0
        elif x < 0.75:
            pick = n - int(n * random() ** 4)  # somebody seen lately
        else:
            pick = 1 + int(n * random() ** 3)  # one of the regulars
        if not pick or pick in self.deleted:
            self.contacts = pick = n + 1
        device = DEVICES[pick * 7919 % 100]
        return f'"contact":"c{pick}"', f',"device":"{device}"' if device else ""

    def _chat(self, t: int, experience: Experience, tour: bool = False) -> None:
        """Tell how one contact goes through an experience until it loses interest."""
        put, random = self._put, self.random
        contact, device = self._contact()
        base = f'{contact},"experience":"{experience.id}"{device}'
        begin = t
        put(t, "chat_start", base)
        for _ in range(1 if random() < 0.5 else 2):
            t += 300 + int(random() * 1500)
            put(t, "message", base, BOT)
        talks, position = tour or random() > 0.44, 0
        while (
            talks
            and position < len(experience.modules)
            and (tour or position == 0 or random() < 0.86)
        ):
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
        """Tell what the contact does in one module; return the instant when it is done."""
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
            self._put(t, event, dims, self._pick(owns))
        return t

    def _live_chat(self, t: int, dims: str) -> int:
        begin, user = t, self._user()
        self.talks += 1
        both = f'{dims},"conversation":"v{self.talks}"'
        t = self._dialog(t + 30_000, both, both, user, 2, 1)
        self._put(t, "live_chat", f"{both}{user}", f',"seconds":{(t - begin) // 1000}')
        return t + 1000

    def _user(self, inbox: str = "") -> str:
        """Return a member of staff as a field: mostly of the inbox's department if there is one."""
        staff = self.people.users + self.people.former * self.early
        place = inbox[6:] if self.random() < 0.8 else ""  # the platform's own are in no department
        mates = [user for user, department in staff if department[4:] == place]
        return f',"user":"{self._pick(mates or [user for user, _ in staff], 1.6)}"'

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
        """Tell of a contact who looks at one to three pages; return the instant of the last."""
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
            kind = "lead" if random() < lead else "service"
            self._put(t + 4000, "result", dims + user, self._pick(RESULTS[kind], 1.5))

    def _talk(self, t: int, tour: bool = False) -> None:
        """Tell a conversation: from the website or another channel, with a bot, staff or both."""
        put, random = self._put, self.random
        contact, device = self._contact()
        channel = self._pick(TOUCHPOINTS)
        self.talks += 1
        dims = (
            f'{contact},"conversation":"v{self.talks}"'
            if random() < 0.99
            else (f'"conversation":"v{self.talks}"')
        )
        if channel == "web":
            t = self._visit(t, contact, device) + 5000
        named = f'{dims},"channel":"ch-{channel}"' if channel else dims
        first = named + device if channel in ("web", "facebook") else named
        user = inbox = ""
        if human := tour or random() < 0.72:
            inbox = self._pick(self.people.inboxes, 1.5)
            user = self._user(inbox)
        routed = 1 - random() if human else 0  # early, after the bot or never
        if routed > 0.3:
            put(t, "routed", first, f',"inbox":"{inbox}"')
        if tour or random() < 0.7:
            bot = f'{dims},"bot":"{self._pick(BOTS if self.early else BOTS[:4], 1.5)}"'
            put(t + 100, "bot_start", bot + first[len(dims) :])
            put(t + 300, "message", bot if random() < 0.98 else dims, BOT)
            for point in ("asked", "answered", "contact details")[: 2 if random() < 0.5 else 3]:
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
        put(t + 500, "message", f'{dims},"bot":"bot-3"', BOT)
        if not tour and random() >= 0.6:
            return
        t += int((2 + random() ** 3 * 240) * MINUTE)
        put(t, "message", dims, CONTACT)
        if not tour and random() >= 0.8:
            return
        inbox = self._pick(self.people.inboxes)
        put(t + 1000, "routed", dims, f',"inbox":"{inbox}"')
        user = self._user(inbox)
        put(t + 90_000, "message", dims, USER + user)
        for _ in range(1 if tour else 1 + int(random() * 3)):
            t = self._dialog(t + 95_000, dims, dims, user, 1 + int(random() * 2), 4)
            self._end(t, dims, user if random() < 0.7 else "", 1 if tour else 0.15)
            t += int((20 + random() * 8) * 60 * MINUTE)
