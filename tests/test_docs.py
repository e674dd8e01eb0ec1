"""What is not documented fails."""

import re
from pathlib import Path

from datasource.protocol.app import create_app

TOP = Path(__file__).parents[1]
SERVER = (TOP / "docs" / "server.md").read_text(encoding="utf-8")


def test_every_setting_is_documented() -> None:
    paths = [path for path in (TOP / "datasource").rglob("*.*") if path.suffix in (".py", ".toml")]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    settings = set(re.findall(r"\bCHATKPI_[A-Z_]+|\bDATABASE_URL\b", sources))
    assert settings - set(re.findall(r"`([A-Z_]+)`", SERVER)) == set()


def test_every_path_is_documented() -> None:
    paths = {rule.rule for rule in create_app("postgresql://x").url_map.iter_rules()}
    assert {path for path in paths if f"{path}`" not in SERVER} == set()
