"""Who may ask for what? This machine (or who logs in), from this page, and only what the page needs.

A list of what may be asked for, rather than of what may not: Gradio has routes that read files and fetch addresses, and
none of them is reachable here. The headers forbid the browser to load anything from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, final
from urllib.parse import urlsplit

from robustpeft.app.settings import is_loopback

__all__ = ["Gate"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = re.compile(
    r"/(?:|config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|picture"
    r"|(?:assets|static|svelte)/[\w./@+-]+"
    r"|records/[\w./-]+"
    r"|gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|startup-events|cancel|reset|app_id|info)/?"
    r")"
)
_PAGE = "default-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' "
_HEADERS = {
    # Gradio's templates are compiled in the browser, hence unsafe-eval; what they compile holds nobody's text.
    "content-security-policy": f"{_PAGE}'unsafe-eval'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@final
class Gate:
    """Stands before everything that is served.

    Args:
        app: What is served.
        host: On which it listens.
        login: User and password; None if nobody has to log in.
    """

    def __init__(self, app: App, host: str, login: tuple[str, str] | None) -> None:
        self._app = app
        self._host = host
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what may be asked for; answer everything else here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if is_loopback(self._host) and not is_loopback(_name(host)):
            return 403, "this page is for this machine alone"  # another name that leads here: DNS rebinding
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "asked for by another page"
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in ("GET", "HEAD"):
            return 403, "asked for by another page"
        if self._login is not None and not _knows(headers.get("authorization", ""), self._login):
            return 401, "log in to see this page"
        path = str(scope["path"])
        if not _OPEN.fullmatch(path) or ".." in path:
            return 404, "there is nothing here"
        return None


def _name(host: str) -> str:
    """Return a Host header without its port."""
    return host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]


def _knows(header: str, login: tuple[str, str]) -> bool:
    kind, _, given = header.partition(" ")
    try:
        said = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind.lower() == "basic" and hmac.compare_digest(said, ":".join(login).encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [(k.encode(), v.encode()) for k, v in _HEADERS.items() if k.encode() not in there]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="robustpeft", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
