"""How does a template become a page? With everything from a record escaped, and a name that is missing an error."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["page_templates"]


def page_templates(package: str = "robustpeft.report") -> Environment:
    """Return the templates of a package, those in its folder ``templates``."""
    loader = PackageLoader(package, "templates")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
