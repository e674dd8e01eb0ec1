"""Which contacts were forgotten, told by a keyed hash of each: records that name one stay out."""

import hmac
import json
import re
from collections.abc import Collection
from typing import Any

import orjson

from datasource.store.checks import BadRecord, plain_text
from datasource.store.connection import Connection
from datasource.store.contract import COLUMNS
from datasource.store.lines import Chunk, Event
from datasource.store.record_type import EVENT

REASON = "forgotten"  # of a record that is set aside because it names such a contact
CONTACT = COLUMNS[EVENT].index("contact")
_UNESCAPED = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
_ESCAPE = re.compile(r"\\[\\tnr]")
# A field in a line that is no JSON, or is cut off.
_FIELD = rb'"%s"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*)'


def hashed(key: bytes, tenant: str, contact: str) -> bytes:
    """Return what is kept of a forgotten contact of a tenant."""
    return hmac.digest(key, json.dumps([tenant, contact]).encode(), "sha256")


def names(line: bytes) -> tuple[str | None, str | None]:
    """Return the tenant and the contact that a line names, as ids; the line may be no record."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = {}
        for field in ("tenant", "contact"):
            if found := re.search(_FIELD % field.encode(), line):
                try:
                    record[field] = json.loads(found[1].decode(errors="replace"))
                except ValueError:
                    record[field] = found[1].decode(errors="replace").strip('"')
    if not isinstance(record, dict):
        return None, None
    return _id(record.get("tenant")), _id(record.get("contact"))


def _id(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return plain_text(value) or None
    except BadRecord:
        return None


# Of so many contacts a load remembers whether they were forgotten, before it begins anew.
REMEMBERED = 100_000


class Forgotten:
    """The forgotten contacts, as a load knows them."""

    def __init__(self, key: bytes, hashes: Collection[bytes], tenants: Collection[str]) -> None:
        self._key = key
        self._hashes = frozenset(hashes)
        self._tenants = tenants  # all that there are, for a line that names none
        self._known: dict[tuple[str, str], bool] = {}

    @classmethod
    def read(cls, connection: Connection) -> "Forgotten":
        """Read them."""
        [(key,)] = connection.execute("SELECT key FROM kpi_admin.forget_key")
        hashes = connection.execute("SELECT hash FROM kpi_admin.forgotten").fetchall()
        tenants = connection.execute("SELECT tenant FROM kpi_data.tenant_number").fetchall()
        return cls(key, [kept for (kept,) in hashes], [tenant for (tenant,) in tenants])

    def has(self, tenant: str, contact: str) -> bool:
        """Say whether a contact was forgotten."""
        found = self._known.get((tenant, contact))
        if found is None:
            found = hashed(self._key, tenant, contact) in self._hashes
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[tenant, contact] = found
        return found

    def take_out(self, chunk: Chunk) -> None:
        """Set aside the records of a parsed chunk that name a forgotten contact."""
        if not self._hashes:
            return
        for by_tenant in (chunk.events, chunk.repeats):
            for tenant, events in by_tenant.items():
                found = {
                    position: event.line
                    for position, event in enumerate(events.unpack())
                    if (contact := _contact(event)) and self.has(tenant, contact)
                }
                if found:
                    by_tenant[tenant] = events.without(found)
                    chunk.set_aside += [(line, REASON) for line in found.values()]
        for entities in chunk.entities.values():
            for entity in [e for e in entities if self._is_named(chunk.lines[e[0]])]:
                entities.remove(entity)
                chunk.set_aside.append((entity[0], REASON))
        chunk.set_aside = [
            (line, REASON if self._is_named(chunk.lines[line]) else reason)
            for line, reason in chunk.set_aside
        ]

    def _is_named(self, line: bytes) -> bool:
        if b"contact" not in line and b"\\u" not in line:
            return False
        tenant, contact = names(line)
        if contact is None:
            return False
        return any(self.has(name, contact) for name in ([tenant] if tenant else self._tenants))


def _contact(event: Event) -> str:
    """Return the contact that an event names, empty for none."""
    text = event.row.split("\t", CONTACT + 1)[CONTACT]
    if "\\" not in text:
        return text
    if text == "\\N":
        return ""
    return _ESCAPE.sub(lambda found: _UNESCAPED[found[0]], text)


def mentions(line: bytes, tenant: str, contact: str) -> bool:
    """Say whether a line that was set aside may tell of a contact.

    It does when it has the contact's id in it, and is the tenant's or names none.
    """
    named, _ = names(line)
    if named is not None and named != tenant:
        return False
    try:
        text = json.dumps(_plain(orjson.loads(line)), ensure_ascii=False)
    except (orjson.JSONDecodeError, RecursionError):
        text = line.decode(errors="replace")
    spellings = {contact, json.dumps(contact)[1:-1], json.dumps(contact, ensure_ascii=False)[1:-1]}
    return any(
        re.search(rf"(?<!\w){re.escape(spelling)}(?!\w)", text, re.IGNORECASE)
        for spelling in spellings
    )


def _plain(value: Any) -> Any:
    """Return parsed JSON with 9.0 as the integer 9, as ids read it."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
