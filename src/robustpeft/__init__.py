"""Robust parameter-efficient tuning of pretrained Vision Transformers, and audits of how robust they are.

The public names stand in ``__init__.pyi``; each is imported when it is first used, so that ``robustpeft --help`` and
reading records need no torch.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
