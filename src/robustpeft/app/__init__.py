"""What does the browser show? Models under attack on one image, and the records of audits; on this machine alone."""

from robustpeft.app.settings import Settings

__all__ = ["Settings"]
