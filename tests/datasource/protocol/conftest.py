"""A server over a small world that all tests of a module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.datasource.protocol.client import Client, served

AT = "2026-03-02T10:00:00Z"
ENTITIES = [
    {
        "type": "tenant",
        "id": "a",
        "name": "Ámo",
        "timezone": "Europe/Amsterdam",
        "conversation_url": "https://x.example/c/{conversation}?a=1",
    },
    {"type": "tenant", "id": "b"},
    {"type": "folder", "tenant": "a", "id": "f", "name": "Spring"},
    {"type": "experience", "tenant": "a", "id": "x", "name": "Quiz", "folder": "f"},
    {"type": "module", "tenant": "a", "id": "m2", "name": "Two", "experience": "x", "position": 2},
    {
        "type": "module",
        "tenant": "a",
        "id": "m1",
        "name": "One",
        "experience": "x",
        "position": 1,
        "module_type": "quiz",
    },
    {"type": "location", "tenant": "a", "id": "l", "name": "Town", "active": False},
    {"type": "department", "tenant": "a", "id": "d", "name": "Sales", "location": "l"},
    {"type": "inbox", "tenant": "a", "id": "i", "name": "Inbox", "department": "d"},
    {"type": "channel", "tenant": "a", "id": "c", "name": "Web", "channel_type": "web"},
    {
        "type": "user",
        "tenant": "a",
        "id": "u",
        "name": "Uma",
        "role": "agent",
        "level": 2,
        "department": "d",
    },
    {"type": "bot", "tenant": "a", "id": "r", "name": "Robo", "description": "Greets"},
]
EVENTS = [
    {
        "type": "message",
        "from": "contact",
        "contact": "c1",
        "conversation": "v/1",
        "channel": "c",
        "device": "mobile",
        "experience": "x",
    },
    {"type": "message", "from": "user", "user": "u", "conversation": "v/1"},
    {"type": "message", "from": "contact", "contact": "c2", "conversation": "v2", "tenant": "b"},
    {"type": "message", "from": "bot", "bot": "ghost", "conversation": "v2", "tenant": "b"},
    {"type": "module_visit", "module": "m1", "contact": "c1", "experience": "other"},
    {"type": "module_visit", "module": "m1", "contact": "c1"},
    {"type": "module_visit", "module": "m2", "contact": "c1"},
    {"type": "nps", "score": 9, "text": '=good, "very"', "contact": "c1", "experience": "x"},
    {"type": "nps", "score": 2, "text": "bad", "contact": "c1"},
    {"type": "nps", "score": 7, "contact": "c1"},
    {"type": "notification", "conversation": "s 1/é", "channel": "c", "contact": "c1"},
    {"type": "notification", "conversation": "s2", "channel": "q"},
    {"type": "message", "from": "contact", "conversation": "s2"},
    {"type": "notification", "conversation": "s3", "channel": "c"},
    {"type": "message", "from": "contact", "conversation": "s3"},
    {"type": "message", "from": "user", "user": "u", "conversation": "s3"},
]
RECORDS = ENTITIES + [
    {"tenant": "a", "id": f"e{n:02}", "at": AT.replace("10:00", f"10:{n:02}"), **event}
    for n, event in enumerate(EVENTS)
]


@pytest.fixture(scope="module")
def client(database: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Serve the tenants a and b; the client's own token sees both."""
    folder: Path = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield served(database, RECORDS, folder, monkeypatch)
