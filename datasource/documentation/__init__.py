"""Pages for people, made from the definitions and the input contract."""

from datasource.catalog import Catalog
from datasource.documentation import dashboard_docs, kpi_docs, record_docs

__all__ = ["pages"]


def pages(catalog: Catalog) -> dict[str, str]:
    """Return the text of every page by its path below the repository."""
    return kpi_docs.build(catalog) | record_docs.build(catalog) | dashboard_docs.build(catalog)
