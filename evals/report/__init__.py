"""The report of a run: one HTML file without outside parts, and its summary for a terminal.

Outputs and inputs are hostile text. The template escapes all values, the browser shows texts of
cases as text nodes only, and the page's content policy allows its own script and style only.
"""

from evals.report.page import write
from evals.report.summary import summary

__all__ = ["summary", "write"]
