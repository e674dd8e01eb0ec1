"""What a type of record and its fields are, and the fields that many types have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from datasource.store.checks import ID, RECORD_TYPE, TEXT, TIME, Check, one_of

EVENT = "event"  # the table of all events; an entity's is called like its type


@dataclass(frozen=True)
class Field:
    """A field of a record.

    `about`: what it says. `required`: it has to be there, and neither null nor empty. `default`:
    the column's text without it. `column`: where it is kept, when that has another name.
    """

    name: str
    about: str
    check: Check = TEXT
    required: bool = False
    default: str | None = None
    column: str = ""


@dataclass(frozen=True)
class RecordType:
    """A type of record.

    `about`: what it describes, or when it happens. `own`: its fields beside those that all records
    of its table have. `example`: the fields of an example beside `type`, `tenant`, `id` and `at`.
    `identity`: the fields that tell its records apart; they are required.
    """

    name: str
    about: str
    own: tuple[Field, ...] = ()
    example: Mapping[str, object] = field(default_factory=dict)
    table: str = EVENT
    identity: tuple[str, ...] = ("tenant", "id")

    @property
    def fields(self) -> tuple[Field, ...]:
        """All of its fields."""
        common = (AT, *DIMENSIONS) if self.table == EVENT else ()
        described = {known.name for known in self.own}
        keys = tuple(key for key in (TENANT, IDENTITY) if key.name not in described)
        return (TYPE, *keys, *common, *self.own)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the fields that have to be there."""
        own = tuple(known.name for known in self.fields if known.required)
        return tuple(dict.fromkeys((*own, *self.identity)))


TYPE = Field("type", "What kind of record it is.", RECORD_TYPE, required=True)
TENANT = Field("tenant", "The organization that owns the record.", ID)
IDENTITY = Field("id", "What tells it from others of its tenant.", ID)
AT = Field("at", "When it happened.", TIME, required=True)
DIMENSIONS = (
    Field("contact", "The person who chats.", ID),
    Field("experience", "The flow that the contact goes through.", ID),
    Field("module", "The step of the experience.", ID),
    Field("conversation", "The exchange of messages, in an inbox.", ID),
    Field("channel", "Where the conversation is held.", ID),
    Field("inbox", "The inbox that has the conversation.", ID),
    Field("user", "The member of staff.", ID),
    Field("bot", "The bot.", ID),
    Field("department", "The department, when it is not the user's or the inbox's.", ID),
    Field("device", "The contact's device.", one_of("desktop", "mobile", "tablet")),
)
