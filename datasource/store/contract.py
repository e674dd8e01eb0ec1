"""The input contract: every type of record, its fields, and an example of each.

The loader checks records by these tables, and docs/records.md is made from them.
"""

from collections.abc import Mapping, Sequence

from datasource.store.checks import AMOUNT, FLAG, ID, MODULES, MONTH, NUMBER, ZONE, integer, one_of
from datasource.store.record_type import EVENT, TENANT, TYPE, Field, RecordType

_CHAT = {"contact": "c1", "experience": "welcome", "device": "mobile"}
_TALK = {"contact": "c1", "conversation": "v1", "channel": "web"}
EVENTS = (
    RecordType("chat_start", "A contact starts an experience.", example=_CHAT),
    RecordType(
        "message",
        "One chat message is sent, in an experience, in a conversation or in both.",
        (
            Field("from", "Who sent it.", one_of("contact", "bot", "user"), True, column="sender"),
        ),  # `from` is a word of SQL
        _CHAT | {"from": "contact"},
    ),
    RecordType("click", "The contact clicks a button of the chat.", example=_CHAT),
    RecordType(
        "screen_time",
        "A stretch of visible chat ends.",
        (Field("seconds", "How long it was visible.", AMOUNT, True),),
        _CHAT | {"seconds": 42.5},
    ),
    RecordType("module_visit", "A module is shown.", example=_CHAT | {"module": "welcome-1"}),
    RecordType(
        "decision",
        "The contact picks an option.",
        (Field("option", "The option.", required=True),),
        _CHAT | {"module": "welcome-2", "option": "buy"},
    ),
    RecordType(
        "opt_in",
        "Consent is asked for, given, refused or withdrawn.",
        (
            Field(
                "topic",
                "What it is about.",
                one_of("web_push", "reminder", "newsletter", "sms", "profiling"),
                True,
            ),
            Field(
                "step",
                "How far it has come: `single` is given once, `double` is confirmed.",
                one_of("asked", "single", "double", "rejected", "out"),
                True,
            ),
        ),
        _CHAT | {"topic": "web_push", "step": "double"},
    ),
    RecordType(
        "share",
        "The contact clicks a share option.",
        (
            Field(
                "via",
                "The option.",
                one_of("facebook", "email", "native", "twitter", "whatsapp", "link"),
                True,
            ),
        ),
        _CHAT | {"via": "whatsapp"},
    ),
    RecordType(
        "participation",
        "The contact takes part in a giveaway or an instant win.",
        (Field("won", "Whether it was a win; left out when nobody knows yet.", FLAG),),
        _CHAT | {"module": "giveaway-1", "won": False},
    ),
    RecordType("email_entered", "The contact enters a mail address.", example=_CHAT),
    RecordType(
        "data_entered",
        "The contact enters personal data.",
        (Field("field", "Which; never the data themselves.", required=True),),
        _CHAT | {"field": "postal_address"},
    ),
    RecordType(
        "door_opened",
        "The contact opens a door of an advent calendar.",
        (Field("door", "The door.", required=True),),
        _CHAT | {"door": "6"},
    ),
    RecordType(
        "nps",
        "The contact answers how likely a recommendation is.",
        (
            Field("score", "The answer.", integer(0, 10), True),
            Field("text", "What the contact says about it."),
        ),
        _CHAT | {"score": 9, "text": "Quick and friendly."},
    ),
    RecordType(
        "pin",
        "A pin to log in with is mailed, or entered.",
        (
            Field(
                "step",
                "Mailed, entered rightly, entered wrongly.",
                one_of("sent", "succeeded", "failed"),
                True,
            ),
        ),
        _CHAT | {"step": "succeeded"},
    ),
    RecordType(
        "code_entry",
        "The contact enters a code.",
        (Field("correct", "Whether it was right.", FLAG, True),),
        _CHAT | {"module": "code-1", "correct": True},
    ),
    RecordType(
        "quiz_answer",
        "The contact answers a question of a quiz.",
        (
            Field("question", "The question.", required=True),
            Field("answer", "The answer.", required=True),
            Field("correct", "Whether it was right.", FLAG, True),
        ),
        _CHAT | {"module": "quiz-1", "question": "Capital?", "answer": "Paris", "correct": True},
    ),
    RecordType("picture_upload", "The contact uploads a picture.", example=_CHAT),
    RecordType(
        "points",
        "The contact is awarded points, or redeems them for a reward.",
        (Field("points", "How many; less than 0 when they are redeemed.", NUMBER, True),),
        _CHAT | {"module": "points-1", "points": 25},
    ),
    RecordType(
        "coupon",
        "Coupons are uploaded, or one is issued or entered.",
        (
            Field("step", "Which of the three.", one_of("uploaded", "issued", "entered"), True),
            Field("amount", "How many.", AMOUNT, default="1"),
        ),
        {"experience": "welcome", "module": "coupon-1", "step": "uploaded", "amount": 250},
    ),
    RecordType("appointment", "An appointment is booked.", example=_CHAT),
    RecordType(
        "contact_deleted",
        "A contact is deleted elsewhere. It is counted, and takes out nothing here: "
        "`chatkpi forget` does ([Erase a person](server.md#erase-a-person)).",
        example=_CHAT,
    ),
    RecordType(
        "live_chat",
        "A live chat with a user ends.",
        (Field("seconds", "How long it was handled.", NUMBER, True),),
        _CHAT | {"conversation": "v1", "user": "u1", "seconds": 300},
    ),
    RecordType("visit", "A contact visits the website.", example={"contact": "c1"}),
    RecordType(
        "routed",
        "A conversation is routed to an inbox.",
        example=_TALK | {"inbox": "sales"},
    ),
    RecordType(
        "result",
        "A result is added to a conversation.",
        (
            Field(
                "result_type",
                "`lead` when it has contact information.",
                one_of("lead", "service"),
                True,
            ),
            Field("category", "What it is about."),
        ),
        _TALK | {"user": "u1", "result_type": "lead", "category": "offer"},
    ),
    RecordType(
        "field_set",
        "A data field of a conversation is filled in.",
        (Field("field", "The field.", required=True),),
        _TALK | {"user": "u1", "field": "licence_plate"},
    ),
    RecordType(
        "notification",
        "An after-sales invitation is sent, which opens an after-sales conversation.",
        example=_TALK,
    ),
    RecordType("bot_start", "A bot starts in a conversation.", example=_TALK | {"bot": "b1"}),
    RecordType(
        "chatpoint",
        "A bot passes a point of its script.",
        (Field("name", "The point.", required=True),),
        _TALK | {"bot": "b1", "name": "asked_for_phone"},
    ),
    RecordType(
        "bot_points",
        "A bot collects points.",
        (Field("points", "How many.", NUMBER, True),),
        _TALK | {"bot": "b1", "points": 5},
    ),
)
_NAME = Field("name", "Its name; the id without one.")
_ACTIVE = Field("active", "Whether it is in use.", FLAG, default="t")


def _entity(
    name: str,
    about: str,
    own: Sequence[Field],
    example: Mapping[str, object],
    identity: tuple[str, ...] = ("tenant", "id"),
) -> RecordType:
    return RecordType(name, about, tuple(own), example, table=name, identity=identity)


ENTITIES = (
    _entity(
        "tenant",
        "An organization. Without a record it has the defaults.",
        (
            Field("id", "The organization, as `tenant` names it in other records.", ID),
            _NAME,
            Field("timezone", "The zone of its days.", ZONE, default="UTC"),
            Field(
                "business_type",
                "With which others it is compared.",
                one_of("dealership", "brand", "financial_services", "other"),
                default="other",
            ),
            Field(
                "session_rule",
                "When a session ends ([rules.md](rules.md), 5.2).",
                one_of("inactivity", "fixed"),
                default="inactivity",
            ),
            Field("session_minutes", "Its length.", integer(1, 1440), default="30"),
            Field(
                "conversation_url",
                "Where a conversation is seen, with `{conversation}` in it; by http or https.",
            ),
        ),
        {"name": "Acme", "timezone": "Europe/Amsterdam", "business_type": "brand"},
        identity=("id",),
    ),
    _entity(
        "folder", "A folder of experiences.", (_NAME,), {"id": "campaigns", "name": "Campaigns"}
    ),
    _entity(
        "experience",
        "A flow of modules that contacts go through.",
        (_NAME, Field("folder", "Its folder.", ID)),
        {"id": "welcome", "name": "Welcome", "folder": "campaigns"},
    ),
    _entity(
        "module",
        "A step of an experience.",
        (
            _NAME,
            Field("experience", "The experience that it is a step of.", ID),
            Field("module_type", "What it does, such as `quiz` or `coupon`."),
            Field(
                "position",
                "Its place among the experience's modules, from 1.",
                integer(-(2**31), 2**31 - 1, "an integer"),
            ),
            Field("next", "The modules that may follow; else the one at the next place.", MODULES),
        ),
        {
            "id": "welcome-1",
            "name": "Hello",
            "experience": "welcome",
            "module_type": "text",
            "position": 1,
        },
    ),
    _entity(
        "location", "A place of business.", (_NAME, _ACTIVE), {"id": "utrecht", "name": "Utrecht"}
    ),
    _entity(
        "department",
        "A department.",
        (_NAME, Field("location", "Where it is.", ID), _ACTIVE),
        {"id": "sales-utrecht", "name": "Sales Utrecht", "location": "utrecht"},
    ),
    _entity(
        "inbox",
        "An inbox of conversations.",
        (_NAME, Field("department", "Whose it is.", ID)),
        {"id": "sales", "name": "Sales", "department": "sales-utrecht"},
    ),
    _entity(
        "channel",
        "A channel of conversations.",
        (
            _NAME,
            Field(
                "channel_type",
                "What it is.",
                one_of("web", "whatsapp", "facebook", "email", "sms", "other"),
            ),
            _ACTIVE,
        ),
        {"id": "web", "name": "Website", "channel_type": "web"},
    ),
    _entity(
        "user",
        "A member of staff.",
        (
            _NAME,
            Field("role", "Such as `admin`, `supervisor`, `agent` or `guest`."),
            Field("level", "How experienced.", integer(0, 3)),
            Field("department", "Where the user works.", ID),
            _ACTIVE,
        ),
        {"id": "u1", "name": "Ines", "role": "agent", "level": 2, "department": "sales-utrecht"},
    ),
    _entity(
        "bot",
        "A bot. It keeps the name of its first record.",
        (_NAME, Field("description", "What it does; its name without one."), _ACTIVE),
        {"id": "b1", "name": "Greeter", "description": "Says hello"},
    ),
    _entity(
        "potential",
        "What a tenant could reach. A field holds until a later month names it; null ends it.",
        (
            Field("month", "From which month on.", MONTH, required=True),
            Field("inbound_leads", "Leads a month that come in by other ways.", AMOUNT),
            Field("workshop_jobs", "Jobs of the workshop a month.", AMOUNT),
            Field("sales_advisors", "Advisors in sales.", AMOUNT),
            Field("service_advisors", "Advisors in service.", AMOUNT),
            Field("website_visitors", "Visitors of the website a month.", AMOUNT),
        ),
        {"month": "2026-03", "inbound_leads": 120, "workshop_jobs": None},
        identity=("tenant", "month"),
    ),
)
TYPES: Mapping[str, RecordType] = {known.name: known for known in (*EVENTS, *ENTITIES)}


def _columns(types: Sequence[RecordType]) -> tuple[str, ...]:
    """Return the columns of a table that records of some types fill, each once."""
    columns = dict[str, None]()
    for known in types:
        for item in known.fields:
            if item not in (TYPE, TENANT):
                columns[item.column or item.name] = None
    return tuple(columns)


def _entity_columns(entity: RecordType) -> tuple[str, ...]:
    columns = _columns([entity])
    if "month" in entity.identity:  # an id is checked and not kept; `ends` names the fields of null
        return (*(name for name in columns if name != "id"), "ends", "extra")
    return (*columns, "extra")


# Columns of each table that a record fills, in the order of its values; `tenant_no` and `load_no`
# come before them. `content` is the last one of an event.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    EVENT: ("type", *_columns(EVENTS), "extra", "content"),
    **{entity.name: _entity_columns(entity) for entity in ENTITIES},
}
