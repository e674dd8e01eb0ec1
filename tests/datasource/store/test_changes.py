"""Every change of a definition upgrades a database that holds data; the old numbers answer until the refresh."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datasource.catalog import Catalog, views_folder
from datasource.store.connection import connect
from datasource.store.errors import StoreError
from datasource.store.migrate import init
from datasource.store.refresh import refresh
from tests.agreement import load_records
from tests.conftest import Databases
from tests.oracle.random_records import tenants

Connection = psycopg.Connection[Any]
# A few of every sort, so that an upgrade takes a second.
KEPT = "sessions sessions_with_conversation bounces bounce_rate messages active_conversations users_potential active_users"
RANGE = "'2000-01-01', '2101-01-01'"


class Views:
    """A copy of `views/` with a few KPIs, to be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "views"
        shutil.copytree(views_folder(), self.folder)
        for path in [*self.folder.glob("kpi/*/*.sql")]:
            if path.stem not in KEPT.split():
                self.remove(path.stem)

    def file(self, name: str) -> Path:
        """A KPI's or a fact's file."""
        [path] = [*self.folder.glob(f"kpi/*/{name}.sql"), *self.folder.glob(f"facts/{name}.sql")]
        return path

    def edit(self, name: str, *changes: tuple[str, str]) -> None:
        """Replaces texts of a file, each of which is there."""
        text = self.file(name).read_text("utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.file(name).write_text(text, "utf-8")

    def remove(self, name: str) -> None:
        path = self.file(name)
        path.unlink()
        path.with_suffix(".nl.txt").unlink(missing_ok=True)

    def copy(self, name: str, new: str) -> None:
        for path in (self.file(name), self.file(name).with_suffix(".nl.txt")):
            shutil.copy(path, path.with_name(path.name.replace(name, new)))

    def catalog(self) -> Catalog:
        return Catalog.read(self.folder)


def dim_added_last(views: Views) -> None:
    views.edit(
        "messages",
        ("channel, inbox\nFROM", 'channel, inbox, "user"\nFROM'),
        ("dims: device, channel, inbox", "dims: device, channel, inbox, user"),
    )


def dim_added_first(views: Views) -> None:
    views.edit(
        "messages",
        ("SELECT device", 'SELECT "user", device'),
        ("dims: device", "dims: user, role, device"),
    )


def dim_removed(views: Views) -> None:
    views.edit(
        "messages",
        ("SELECT device, channel, inbox", "SELECT device, inbox"),
        ("dims: device, channel, inbox", "dims: device, inbox"),
    )


def dim_renamed(views: Views) -> None:
    views.edit(
        "active_conversations",
        ("SELECT device, channel", "SELECT device, channel AS category"),
        ("dims: device, channel", "dims: device, category"),
    )


def dim_of_a_formula_and_its_parts_removed(views: Views) -> None:
    for name in ("sessions", "bounces", "bounce_rate", "sessions_with_conversation"):
        text = views.file(name).read_text("utf-8")
        text = text.replace("SELECT experience, device", "SELECT experience").replace(
            "folder, device", "folder"
        )
        views.file(name).write_text(text, "utf-8")


def events_to_contacts(views: Views) -> None:
    views.edit("messages", ("counting: count", "counting: distinct contacts"))


def conversations_to_events(views: Views) -> None:
    views.edit("active_conversations", ("counting: distinct conversations", "counting: count"))


def count_to_sum(views: Views) -> None:
    views.edit(
        "messages",
        ("counting: count", "counting: sum"),
        ("SELECT device", "SELECT 3 AS amount, device"),
    )


def day_to_month(views: Views) -> None:
    views.edit("messages", ("-- distribution: yes\n", "-- grain: month\n"))


def month_to_day(views: Views) -> None:
    views.edit("active_users", ("-- grain: month\n", ""))


def other_condition(views: Views) -> None:
    views.edit("messages", ("kind = 'message'", "kind = 'message' AND sender = 'contact'"))


def level_to_flow(views: Views) -> None:
    views.edit("users_potential", ("-- level: yes\n", ""))


def unit_and_words(views: Views) -> None:
    views.edit(
        "messages", ("-- title: Messages", "-- title: Texts"), ("unit: none", "unit: minutes")
    )


def kpi_added(views: Views) -> None:
    views.copy("messages", "more_messages")


def kpi_removed(views: Views) -> None:
    views.remove("active_conversations")


def kpi_renamed(views: Views) -> None:
    views.copy("messages", "texts")
    views.remove("messages")


def formula_to_counted(views: Views) -> None:
    definition = views.file("sessions").read_text("utf-8").partition("SELECT")[2]
    text = views.file("bounce_rate").read_text("utf-8")
    head = re.sub("counting: .*", "counting: sessions", text.partition("SELECT")[0])
    views.file("bounce_rate").write_text(f"{head}SELECT{definition}", "utf-8")


def counted_to_formula(views: Views) -> None:
    text = views.file("active_conversations").read_text("utf-8").partition("SELECT")[0]
    head = re.sub("counting: .*", "counting: ratio", text).replace("-- distribution: yes\n", "")
    views.file("active_conversations").write_text(f"{head}SELECT messages / messages", "utf-8")


def part_removed_with_its_formula_changed(views: Views) -> None:
    views.edit("bounce_rate", ("bounces /", "sessions_with_conversation /"))
    views.remove("bounces")


def column_added_to_a_fact(views: Views) -> None:
    views.edit(
        "conversation_event",
        ('"user", bot, department, sender', 'topic, "user", bot, department, sender'),
        (
            "e.conversation_no,\n        -- A device",
            "e.conversation_no, e.topic,\n        -- A device",
        ),
    )
    views.edit("messages", ("kind = 'message'", "kind = 'message' AND topic IS NULL"))


def column_of_a_fact_renamed(views: Views) -> None:
    views.edit("session", ("AS has_conversation", "AS spoke"))
    for name in ("sessions_with_conversation", "bounces"):
        views.edit(name, ("has_conversation", "spoke"))


def column_of_the_first_fact_removed(views: Views) -> None:
    views.edit("event", (", e.score, e.correct", ", e.score"))


def fact_added(views: Views) -> None:
    views.copy("messages", "fine_messages")
    (views.folder / "facts" / "fine_event.sql").write_text(
        "-- description: Events of conversations, made up.\n-- key: conversation\n-- index: conversation_no\n"
        "SELECT e.* FROM conversation_event AS e JOIN touched ON touched.no = e.conversation_no\n",
        "utf-8",
    )
    views.edit("fine_messages", ("FROM conversation_event", "FROM fine_event"))


def fact_removed(views: Views) -> None:
    views.remove("answered_start")


CHANGES = [
    change
    for name, change in globals().items()
    if callable(change) and getattr(change, "__annotations__", {}).get("views") is Views
]


def answers(connection: Connection) -> dict[str, Any]:
    """What people see of every KPI that there is: totals, series, groups, hits, the rows of its view."""
    found: dict[str, Any] = {}
    for kpi_id, dims in connection.execute("SELECT kpi_id, dims FROM kpi_admin.kpi").fetchall():
        for name, query in {
            "total": f"SELECT * FROM kpi.total(%s, {RANGE}, by => %s)",
            "plain total": f"SELECT * FROM kpi.total(%s, {RANGE}) WHERE %s::text[] IS NOT NULL",
            "series": f"SELECT * FROM kpi.series(%s, {RANGE}, 'month') WHERE %s::text[] IS NOT NULL",
            "hits": f"SELECT * FROM kpi.hits(%s, {RANGE}) WHERE %s::text[] IS NOT NULL",
        }.items():
            rows = connection.execute(query.encode(), [kpi_id, dims]).fetchall()
            found[f"{name} of {kpi_id}"] = sorted(map(repr, rows))
        rows = connection.execute(f'SELECT * FROM kpi."{kpi_id}"'.encode()).fetchall()
        found[f"view of {kpi_id}"] = sorted(map(repr, rows))
    return found


@pytest.fixture(scope="module")
def refreshed(
    database: Databases, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict[str, Any]]]:
    """A database with the few KPIs and some records, refreshed; the records."""
    folder = tmp_path_factory.mktemp("changes")
    records = tenants(43, 2)
    url = database.new_database()
    with connect(url, autocommit=True) as connection:
        catalog = Views(folder).catalog()
        init(connection, catalog)
        load_records(connection, records, folder)
        refresh(connection, catalog)
    return url, records


@pytest.fixture
def upgraded(
    refreshed: tuple[str, list[dict[str, Any]]], database: Databases
) -> Iterator[Connection]:
    with connect(database.new_database(refreshed[0]), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_definition(
    change: Callable[[Views], None],
    upgraded: Connection,
    refreshed: tuple[str, list[dict[str, Any]]],
    database: Databases,
    tmp_path: Path,
) -> None:
    before = answers(upgraded)
    views = Views(tmp_path)
    change(views)
    catalog = views.catalog()
    for _ in range(2):
        init(upgraded, catalog)
        assert answers(upgraded) == before, "the old numbers until the refresh"
    refresh(upgraded, catalog)
    assert refresh(upgraded, catalog).slices == 0
    with connect(database.new_database(), autocommit=True) as fresh:
        init(fresh, catalog)
        load_records(fresh, refreshed[1], tmp_path)
        refresh(fresh, catalog)
        assert answers(upgraded) == answers(fresh)
        described = "SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'kpi'::regnamespace) AND attnum > 0 ORDER BY 1, 2"
        assert upgraded.execute(described).fetchall() == fresh.execute(described).fetchall()
        granted = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'kpi'::regnamespace AND relkind = 'v' AND has_table_privilege('kpi_reader', oid, 'SELECT') ORDER BY 1"
        assert upgraded.execute(granted).fetchall() == fresh.execute(granted).fetchall()
    left = "SELECT oid::regclass FROM pg_class WHERE relnamespace IN ('kpi_next'::regnamespace, 'kpi_next_hits'::regnamespace)"
    assert upgraded.execute(left).fetchall() == []


def test_a_view_made_anew_keeps_the_rights_on_it(upgraded: Connection, tmp_path: Path) -> None:
    upgraded.execute(
        "DO $$ BEGIN CREATE ROLE kpi_test_analyst; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    upgraded.execute("GRANT SELECT ON kpi.messages TO kpi_test_analyst WITH GRANT OPTION")
    views = Views(tmp_path)
    dim_removed(views)
    init(upgraded, views.catalog())
    refresh(upgraded, views.catalog())
    rights = (
        "SELECT has_table_privilege('kpi_test_analyst', 'kpi.messages', 'SELECT WITH GRANT OPTION')"
    )
    assert upgraded.execute(rights).fetchone() == (True,)


def test_somebodys_view_of_a_view_is_in_nobodys_way(upgraded: Connection, tmp_path: Path) -> None:
    upgraded.execute(
        "CREATE SCHEMA mine; CREATE VIEW mine.copy AS SELECT channel, value FROM kpi.messages"
    )
    before = upgraded.execute("SELECT sum(value) FROM mine.copy").fetchone()
    views = Views(tmp_path)
    dim_removed(views)
    init(upgraded, views.catalog())
    refresh(upgraded, views.catalog())
    assert upgraded.execute("SELECT sum(value) FROM mine.copy").fetchone() == before
    with pytest.raises(psycopg.errors.UndefinedColumn):
        upgraded.execute("SELECT channel FROM kpi.messages")


def test_a_refresh_with_other_definitions_says_so(upgraded: Connection, tmp_path: Path) -> None:
    views = Views(tmp_path)
    other_condition(views)
    with pytest.raises(StoreError, match="the definitions are not those of the database"):
        refresh(upgraded, views.catalog())
