"""The page for people."""

from slugline.server.page.forms import problem_page
from slugline.server.page.routes import PAGE_ROUTES

__all__ = ["PAGE_ROUTES", "problem_page"]
