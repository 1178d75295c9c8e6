"""Reports for people, from finished results: single HTML pages that include their pictures.

Nothing is measured or trained here. matplotlib and Jinja are imported when a page is written.

`words` turns numbers into text, `pictures` draws them, and `page` puts both into a template.
Each kind of report is a module that knows what to say, and a template that extends `base.html.j2`.
"""

from __future__ import annotations

from slugline.report.lesson import write_notebook_report
from slugline.report.training import write_training_report

__all__ = ["write_notebook_report", "write_training_report"]
