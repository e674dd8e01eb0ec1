"""Reads the dashboards' files."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from datasource.catalog import DIMS, Catalog
from datasource.grafana.panels import KINDS
from datasource.grafana.panels.base import Panel
from datasource.grafana.scene import RANGES, Scene
from datasource.grafana.spec import Board
from datasource.grafana.strict import Reader, SpecError
from datasource.grafana.words import (
    FOLDER,
    BoardName,
    DimName,
    KpiId,
    RangeName,
    Word,
    Words,
    shared_texts,
    toml,
)


def read(catalog: Catalog, folder: Path = FOLDER) -> dict[str, Board]:
    """Return all dashboards by name, as their files say. Raises SpecError with every mistake."""
    boards, mistakes = {}, list[str]()
    paths = sorted(folder.glob("dashboards/*.toml"))
    for path in paths:
        file = f"dashboards/{path.name}"
        try:
            told = toml(file, folder)
        except SpecError as error:
            mistakes += error.mistakes
            continue
        own = told.get("words", {})
        vocabulary: dict[Any, Collection[str]] = {
            KpiId: catalog.kpis,
            DimName: DIMS,
            RangeName: RANGES,
            BoardName: {path.stem for path in paths},
            Word: {*(own if isinstance(own, dict) else ()), *shared_texts()},
        }
        reader = Reader(file, vocabulary, {Panel: KINDS})
        board = reader.read(Board, told)
        mistakes += reader.mistakes
        if board:
            boards[path.stem] = board
    if mistakes:
        raise SpecError(mistakes)
    return boards


def scenes(catalog: Catalog, boards: Mapping[str, Board], language: str) -> list[Scene]:
    """Return what each dashboard is built in, in one language."""
    return [
        Scene(name, board, boards, Words(catalog, language, board.words))
        for name, board in boards.items()
    ]


def keys_of(boards: Mapping[str, Board], name: str) -> set[str]:
    """Return the keys of a dashboard's panels, those of tiles being their KPIs."""
    rows = boards[name].rows if name in boards else ()
    return {panel.key for row in rows for panel in row.panels} | {
        kpi for row in rows for kpi in row.tiles
    }
