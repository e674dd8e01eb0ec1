"""Write the pages of `docs/` that are made from the package's own tables and definitions.

`python -m datasource.documentation [FOLDER]` writes them into a folder, by default the present one.
"""

import sys
from pathlib import Path

from datasource.catalog import Catalog
from datasource.documentation import pages


def main() -> None:
    """Write all pages."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for path, text in pages(Catalog.read()).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
