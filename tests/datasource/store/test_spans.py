"""How months share slices: every day in one slice, few slices whatever the dates, little built again."""

import random
from datetime import date

import pytest

from datasource.store.slices import TIDY_EVERY
from datasource.store.spans import LITTLE, Span, next_month, plan

NOW = date(2026, 11, 28)


def months(first: date, count: int) -> list[date]:
    found = [first]
    while len(found) < count:
        found.append(next_month(found[-1]))
    return found


def applied(standing: list[Span], built: list[Span]) -> list[Span]:
    """The slices after a refresh: those that nothing built overlaps, and the built ones."""
    kept = [s for s in standing if not any(s.first < b.last and b.first < s.last for b in built)]
    return sorted(kept + built, key=lambda span: span.first)


def check(standing: list[Span], rows: dict[date, int]) -> None:
    """No day is in two slices, and every month with rows is in one."""
    assert all(
        older.last <= newer.first for older, newer in zip(standing, standing[1:], strict=False)
    )
    for month, count in rows.items():
        if count > 0:
            assert any(s.first <= month and next_month(month) <= s.last for s in standing), month


def test_a_century_with_little_in_each_month_is_a_few_slices() -> None:
    rows = dict.fromkeys(months(date(2000, 1, 1), 1212), 30)
    built = plan(rows, [], None, NOW)
    check(built[::-1], rows)
    assert len(built) <= 5
    alone = sorted(span.first for span in built if span.alone)
    assert alone == [date(2026, 10, 1), date(2026, 11, 1)]


def test_a_century_with_much_in_each_month_is_not_many_slices() -> None:
    rows = dict.fromkeys(months(date(2000, 1, 1), 1212), 10 * LITTLE)
    assert len(plan(rows, [], None, NOW)) < 40


def test_five_years_of_much_data_have_small_slices_for_recent_months() -> None:
    past = months(date(2021, 12, 1), 60)
    built = plan(dict.fromkeys(past, 10 * LITTLE), [], None, NOW)
    sizes = [span.rows // (10 * LITTLE) for span in sorted(built, key=lambda span: span.first)]
    assert sizes[-6:] == [1] * 6
    assert len(sizes) < 20 and max(sizes) <= 15


def test_a_month_taken_out_of_a_wide_slice_leaves_its_days_covered() -> None:
    wide = Span(date(2020, 1, 1), date(2021, 1, 1))
    rows = {date(2020, 3, 1): LITTLE, date(2020, 9, 1): LITTLE}
    built = plan(rows, [wide], {date(2020, 3, 1)}, NOW)
    assert sorted((span.first, span.last) for span in built) == [
        (date(2020, 1, 1), date(2020, 9, 1)),
        (date(2020, 9, 1), date(2021, 1, 1)),
    ]


def test_what_has_not_changed_is_left_alone() -> None:
    rows = dict.fromkeys(months(date(2024, 1, 1), 35), LITTLE)
    standing = sorted(plan(rows, [], None, NOW), key=lambda span: span.first)
    [again] = plan(rows, standing, {date(2026, 11, 1)}, NOW)
    assert (again.first, again.last) == (date(2026, 11, 1), date(2026, 12, 1))
    [late] = plan(rows, standing, {date(2026, 6, 1)}, NOW)
    assert late.rows <= 2 * LITTLE


@pytest.mark.parametrize("a_month", [1_000, 40_000, 400_000])
def test_years_of_daily_refreshes_stay_few_slices_and_cost_little(a_month: int) -> None:
    standing: list[Span] = []
    rows: dict[date, int] = {}
    built_rows = 0
    for number, month in enumerate(months(date(2016, 1, 1), 131)):
        for week in range(4):
            rows[month] = rows.get(month, 0) + a_month // 4
            tidy = (4 * number + week) % TIDY_EVERY == 0
            built = plan(rows, standing, {month}, month, tidy=tidy)
            standing = applied(standing, built)
            built_rows += sum(span.rows for span in built)
            check(standing, rows)
    assert len(standing) <= 24
    # Each refresh builds the open month: some three times what came. What closed months cost is on top.
    assert built_rows < 8 * sum(rows.values()) + 300 * LITTLE


@pytest.mark.parametrize("seed", range(30))
def test_changes_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    every = months(date(2000, 1, 1), 1212)
    standing: list[Span] = []
    rows: dict[date, int] = {}
    for _ in range(60):
        changed = set(rng.sample(every, rng.choice([1, 1, 2, 40])))
        for month in changed:
            rows[month] = max(0, rows.get(month, 0) + rng.choice([1, 50, -50, 30_000, 200_000]))
        now = rng.choice([NOW, date(2050, 1, 1)])
        built = plan(rows, standing, changed, now, tidy=rng.random() < 0.1)
        for month in changed:
            assert sum(span.first <= month < span.last for span in built) == 1
        for span in standing:  # a slice is replaced whole
            overlap = [b for b in built if b.first < span.last and span.first < b.last]
            if overlap:
                assert min(b.first for b in overlap) <= span.first
                assert max(b.last for b in overlap) >= span.last
        standing = applied(standing, built)
        check(standing, rows)
    assert len(standing) <= 60
