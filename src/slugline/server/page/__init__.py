"""The page for people."""

from slugline.server.page.routes import PAGE_ROUTES

__all__ = ["PAGE_ROUTES"]
