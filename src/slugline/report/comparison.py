"""The page on a comparison of models."""

from __future__ import annotations

from slugline.compare.results import Comparison
from slugline.report.comparison_text import comparison_rows, failures, reading, verdict
from slugline.report.page import render
from slugline.saving.classifier_file import library_versions

__all__ = ["comparison_page"]


def comparison_page(comparison: Comparison) -> str:
    """Return the table, the picture and the words on a comparison as one page of HTML."""
    from slugline.report.pictures import accuracy_by_time

    head, *rows = comparison_rows(comparison)
    return render(
        "comparison.html.j2",
        comparison=comparison,
        best=comparison.best,
        head=head,
        rows=rows,
        says=verdict(comparison),
        failed=failures(comparison),
        reading=reading(comparison),
        picture=accuracy_by_time(comparison) if comparison.measured else None,
        versions=library_versions(),
    )
