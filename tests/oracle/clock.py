"""Local time: hours, days, ISO weeks and months of one time zone.

In: a zone name and instants (aware datetimes in UTC). Out: the start, the end and the
key of the bucket that holds an instant. Keys of days, weeks and months are local dates,
so that the buckets of several zones can meet; the key of an hour is its instant.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

BUCKETS = ("hour", "day", "week", "month")
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Clock:
    """The local clock and calendar of one time zone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.zone = ZoneInfo(name)

    def offset(self, at: datetime) -> timedelta:
        """What is added to UTC at this instant."""
        offset = at.astimezone(self.zone).utcoffset()
        assert offset is not None
        return offset

    def local(self, at: datetime) -> datetime:
        """What the wall clock shows at an instant, as a naive datetime."""
        return at.astimezone(self.zone).replace(tzinfo=None)

    @cache  # noqa: B019  (one instance per zone, kept for good)
    def _changes_of_year(self, year: int) -> tuple[datetime, ...]:
        """The instants in a UTC year at which the clock changes."""
        found = []
        at = datetime(year, 1, 1, tzinfo=UTC)
        stop = datetime(year + 1, 1, 1, tzinfo=UTC)
        step = timedelta(hours=6)
        while at < stop:
            if self.offset(at) != self.offset(at + step):
                before, after = at, at + step
                # Clocks change on a whole second, so a second apart is exact.
                while after - before > timedelta(seconds=1):
                    middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
                    if self.offset(middle) == self.offset(at):
                        before = middle
                    else:
                        after = middle
                found.append(after)
            at += step
        return tuple(found)

    def changes(self, after: datetime, until: datetime) -> list[datetime]:
        """The clock changes c with after < c <= until, in order."""
        found = []
        for year in range(after.year, until.year + 1):
            for change in self._changes_of_year(year):
                if after < change <= until:
                    found.append(change)
        return found

    @lru_cache(maxsize=100_000)  # noqa: B019
    def first_showing(self, local: datetime) -> datetime:
        """The first instant at which the clock shows a local time, or one after it.

        A local time that comes twice is the first of them; one that a clock change left out is
        the change. Around the date the clock is cut into pieces of one offset: in each piece the
        time comes where the clock shows it, or with the piece itself when it is past there.
        """
        shown_in_utc = local.replace(tzinfo=UTC)
        begin, finish = shown_in_utc - 3 * DAY, shown_in_utc + 3 * DAY
        edges = [begin, *self.changes(begin, finish), finish]
        candidates = []
        for piece_start, piece_end in pairwise(edges):
            offset = self.offset(piece_start)
            shown = shown_in_utc - offset
            if piece_start <= shown < piece_end:
                candidates.append(shown)
            if piece_start + offset >= shown_in_utc:
                candidates.append(piece_start)
        return min(candidates)

    def day_start(self, day: date) -> datetime:
        """The first instant whose local date is `day` (or later, if that date is left out)."""
        return self.first_showing(datetime(day.year, day.month, day.day))

    def shown(self, at: datetime) -> datetime:
        """The date whose day holds an instant, with the clock time, as a naive datetime.

        Where the clock goes back over midnight the day goes on, and its time stands at 0:00.
        """
        day = self.date_of(at)
        return max(self.local(at), datetime(day.year, day.month, day.day))

    @lru_cache(maxsize=100_000)  # noqa: B019
    def date_of(self, at: datetime) -> date:
        """The local date whose day holds an instant.

        Where the clock goes back over midnight the later date has already begun and goes on.
        """
        day = self.local(at).date()
        while at >= self.day_start(day + DAY):
            day += DAY
        return day

    def _first_date(self, bucket: str, at: datetime) -> date:
        day = self.date_of(at)
        if bucket == "week":
            return day - timedelta(days=day.weekday())
        if bucket == "month":
            return day.replace(day=1)
        return day

    @lru_cache(maxsize=200_000)  # noqa: B019
    def start(self, bucket: str, at: datetime) -> datetime:
        """The first instant of the bucket that holds `at`."""
        if bucket != "hour":
            return self.day_start(self._first_date(bucket, at))
        shown = self.local(at)
        full = at - (shown - shown.replace(minute=0, second=0, microsecond=0))
        # A change between the full hour and now has begun an hour of its own.
        return max([full, *self.changes(full, at)])

    @lru_cache(maxsize=200_000)  # noqa: B019
    def end(self, bucket: str, at: datetime) -> datetime:
        """The first instant after the bucket that holds `at`."""
        if bucket == "hour":
            shown = self.local(at)
            full = at + HOUR - (shown - shown.replace(minute=0, second=0, microsecond=0))
            return min([full, *self.changes(at, full)])
        first = self._first_date(bucket, at)
        if bucket == "day":
            return self.day_start(first + DAY)
        if bucket == "week":
            return self.day_start(first + 7 * DAY)
        return self.day_start((first + 32 * DAY).replace(day=1))

    def key(self, bucket: str, at: datetime) -> date | datetime:
        """What names the bucket that holds `at`: its first date, or the instant of an hour."""
        if bucket == "hour":
            return self.start("hour", at)
        return self._first_date(bucket, at)


@cache
def clock(name: str) -> Clock:
    """The clock of a zone, made once."""
    return Clock(name)


def known_zone(name: object) -> Clock | None:
    """The clock of a zone that a viewer names, None when it names none that exists."""
    if not isinstance(name, str) or not name:
        return None
    if name == "utc":
        return clock("UTC")
    try:
        return clock(name)
    except (KeyError, ValueError, OSError):
        return None
