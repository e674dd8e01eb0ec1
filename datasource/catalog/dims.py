"""The dimensions that KPIs are grouped and filtered by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dim:
    """A dimension.

    `title`, `title_nl`: its name. `missing`: the value of what has none. `entity`: the record
    type whose ids are its values, if they are ids. `parent_of`: the dimension whose record
    names it (the parent of now), in the field `field`.
    """

    name: str
    title: str
    title_nl: str
    missing: str
    entity: str | None = None
    parent_of: str | None = None
    field: str | None = None


def _dim(name: str, title: str, title_nl: str, **more: str) -> tuple[str, Dim]:
    more.setdefault("missing", f"no {name}")
    return name, Dim(name, title, title_nl, **more)


DIMS: dict[str, Dim] = dict(
    [
        _dim("tenant", "Tenant", "Organisatie", entity="tenant"),
        _dim("experience", "Experience", "Experience", entity="experience"),
        _dim("folder", "Folder", "Map", entity="folder", parent_of="experience", field="folder"),
        _dim("device", "Device", "Apparaat"),
        _dim("module", "Module", "Module", entity="module"),
        _dim("module_type", "Module type", "Moduletype", parent_of="module", field="module_type"),
        _dim("score", "Score", "Score"),
        _dim("field", "Field", "Veld"),
        _dim("option", "Option", "Optie"),
        _dim("topic", "Topic", "Onderwerp"),
        _dim("step", "Step", "Stap"),
        _dim("via", "Shared via", "Gedeeld via"),
        _dim("question", "Question", "Vraag"),
        _dim("answer", "Answer", "Antwoord"),
        _dim("correct", "Correct", "Juist"),
        _dim("channel", "Channel", "Kanaal", entity="channel", missing="no touchpoint"),
        _dim("inbox", "Inbox", "Inbox", entity="inbox"),
        _dim("category", "Category", "Categorie"),
        _dim("user", "User", "Gebruiker", entity="user"),
        _dim("role", "Role", "Rol", parent_of="user", field="role"),
        _dim("level", "Level", "Level", parent_of="user", field="level"),
        _dim("chat_kind", "Kind of chat", "Soort chat"),
        _dim("location", "Location", "Locatie", entity="location", parent_of="department", field="location"),
        _dim("department", "Department", "Afdeling", entity="department"),
        _dim("bot", "Bot", "Bot", entity="bot"),
    ]
)
