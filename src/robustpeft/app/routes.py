"""What does the page fetch besides itself? Reports and records by their keys; and it hands in a picture here."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from robustpeft.app.pictures import MOST_BYTES, Pictures
from robustpeft.app.records_table import Shelf
from robustpeft.data.decoding import BrokenImageError
from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, read_records
from robustpeft.report import render_html
from robustpeft.report.drawing import rows_csv

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["MOST_TOGETHER", "receive_picture", "routes"]

MOST_TOGETHER = 12
"""Records in one report or file."""

_REPORT_MAY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


def routes(shelf: Shelf, pictures: Pictures) -> list[Route]:
    """Return the routes: ``/picture`` and, for keys of rows joined by dots, ``/records/KEYS/FILE``."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    makers: dict[str, tuple[str, Callable[[Shelf, tuple[str, ...]], str]]] = {
        "report.html": ("text/html", _report),
        "records.json": ("application/json", _json),
        "records.csv": ("text/csv", _csv),
    }

    async def serve(request: Request) -> Response:
        name, keys = request.path_params["file"], tuple(request.path_params["keys"].split("."))
        if name not in makers:
            return Response("there is nothing here", 404)
        kind, make = makers[name]
        try:
            body = await run_in_threadpool(make, shelf, _checked(keys))
        except UserError as error:
            return Response(str(error), 404, media_type="text/plain")
        headers = {"content-security-policy": _REPORT_MAY}
        if name != "report.html":
            headers["content-disposition"] = f'attachment; filename="{name}"'
        return Response(body.encode("utf-8", "surrogateescape"), media_type=kind, headers=headers)

    async def take(request: Request) -> Response:
        status, answer = await receive_picture(request.stream(), pictures)
        return Response(json.dumps(answer), status, media_type="application/json")

    return [
        Route("/picture", take, methods=["POST"]),
        Route("/records/{keys}/{file}", serve, methods=["GET"]),
    ]


async def receive_picture(chunks: Any, pictures: Pictures) -> tuple[int, dict[str, str]]:
    """Return the HTTP status and ``{"token": ...}`` or ``{"problem": ...}``; reading ends at the first byte too many.

    Args:
        chunks: Asynchronous iterator over the bytes of the file.
        pictures: Where it is kept.
    """
    from starlette.concurrency import run_in_threadpool

    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            return 413, {"problem": f"the file is too large; at most {MOST_BYTES // 1_000_000} MB are read"}
    try:
        return 200, {"token": await run_in_threadpool(pictures.add, bytes(data))}
    except BrokenImageError as error:
        return 422, {"problem": str(error)}


def _checked(keys: tuple[str, ...]) -> tuple[str, ...]:
    if len(keys) > MOST_TOGETHER:
        raise UserError(f"at most {MOST_TOGETHER} records together; got {len(keys)}")
    return tuple(dict.fromkeys(keys))


def _records(shelf: Shelf, keys: tuple[str, ...]) -> list[AuditRecord]:
    return [shelf.record(key) for key in keys]


def _report(shelf: Shelf, keys: tuple[str, ...]) -> str:
    return render_html(_records(shelf, keys))


def _json(shelf: Shelf, keys: tuple[str, ...]) -> str:
    plain = [record.as_dict() for record in _records(shelf, keys)]
    return json.dumps(plain if len(plain) > 1 else plain[0], indent=2, allow_nan=False) + "\n"


def _csv(shelf: Shelf, keys: tuple[str, ...]) -> str:
    return rows_csv([row for key in keys for row in read_records(shelf.path(key))])
