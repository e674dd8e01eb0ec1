"""An independent, naive computation of every KPI answer, to check the product against.

It follows the specification's words, with readable loops over all records and exact
numbers, and shares nothing with the product.
"""

from .oracle import Oracle
from .question import QuestionError

__all__ = ["Oracle", "QuestionError"]
