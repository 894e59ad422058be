"""What is shown, and to whom? Directories, models and who may open the page."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustpeft.errors import UserError

__all__ = ["Settings", "is_loopback"]

_USUAL = (Path("runs"), Path("robustpeft-demo"))


@dataclass(frozen=True)
class Settings:
    """What is asked of the page.

    Args:
        runs: Directories of runs to show.
        folders: Directories in which runs and records are looked for; ``runs`` and ``robustpeft-demo``, as far as they
            exist, if None.
        data: The example images, as for `tune`; None for those that the runs were tuned on.
        device: As for `find_device`.
        weights: As for `load`.
        trust: As for `load`.
        host: Address to listen on.
        port: From 0 to 65535; 0 takes a free one.
        login: User and password, without which nothing is shown; None if nobody has to log in.

    Raises:
        UserError: If others could reach the page without a login, or a folder is none.
    """

    runs: tuple[Path, ...] = ()
    folders: tuple[Path, ...] | None = None
    data: Any = None
    device: str = "auto"
    weights: str | None = None
    trust: bool = False
    host: str = "127.0.0.1"
    port: int = 7860
    login: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.login is not None and not all(self.login):
            raise UserError("a login takes both: a user (--user) and a password (--password, or ROBUSTPEFT_PASSWORD)")
        if self.login is not None and ":" in self.login[0]:
            raise UserError(f"a user's name cannot hold a colon; got {self.login[0]!r}")
        if self.login is None and not is_loopback(self.host):
            raise UserError(
                f"on {self.host} others can reach the page; give a login (--user NAME, --password or "
                "ROBUSTPEFT_PASSWORD), or leave it on 127.0.0.1"
            )
        if not 0 <= self.port <= 65535:
            raise UserError(f"port must be from 0 (any free one) to 65535; got {self.port}")
        for folder in self.folders or ():
            if not folder.is_dir():
                raise UserError(f"there is no directory {folder}")

    @property
    def places(self) -> tuple[Path, ...]:
        """The directories in which runs and records are looked for."""
        if self.folders is not None:
            return self.folders
        return () if self.runs else tuple(folder for folder in _USUAL if folder.is_dir())


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
