"""How is a record shown? As one HTML page, as Markdown and in the terminal; counts become percentages only here.

The names stand in ``__init__.pyi``; each is imported when it is first used, because most commands draw no figure and
matplotlib takes as long to import as all the rest but torch.
"""

import lazy_loader

from robustpeft.report.headline import Headline, headline  # noqa: F401  at once: a module has this name too

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
