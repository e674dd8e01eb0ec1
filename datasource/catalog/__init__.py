"""The catalogue: every KPI, fact and dimension as `views/` defines them, without a database."""

from datasource.catalog.dims import DIMS, Dim
from datasource.catalog.files import Catalog, DefinitionError, Fact, Kpi, in_order, views_folder

__all__ = ["DIMS", "Catalog", "DefinitionError", "Dim", "Fact", "Kpi", "in_order", "views_folder"]
