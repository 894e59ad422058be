import asyncio
import csv
import io
import json

import pytest

from robustpeft.app import routes as routes_module
from robustpeft.app.pictures import Pictures
from robustpeft.app.records_table import Shelf
from robustpeft.app.routes import receive_picture, routes
from robustpeft.records import write_record

pytest.importorskip("starlette", reason="needs robustpeft[app]")


@pytest.fixture
def shelf(tmp_path, make_record):
    write_record(make_record("one"), tmp_path / "a")
    write_record(make_record("two", attacked=frozenset()), tmp_path / "b")
    return Shelf([tmp_path])


def fetch(shelf, keys, name):
    from starlette.requests import Request

    route = next(route for route in routes(shelf, Pictures()) if route.path.startswith("/records"))
    scope = {"type": "http", "path_params": {"keys": ".".join(keys), "file": name}, "headers": [], "method": "GET"}
    return asyncio.run(route.endpoint(Request(scope)))


def test_records_go_out_in_three_forms(shelf):
    keys = [row.key for row in shelf.rows()]
    report = fetch(shelf, keys, "report.html")
    assert report.status_code == 200
    assert "script-src" not in report.headers["content-security-policy"]
    assert b"one" in report.body
    assert b"two" in report.body
    both, single = (json.loads(fetch(shelf, which, "records.json").body) for which in (keys, keys[:1]))
    assert [record["subject"]["label"] for record in both] == ["one", "two"]
    assert single["subject"]["label"] == "one"
    rows = list(csv.DictReader(io.StringIO(fetch(shelf, keys, "records.csv").body.decode())))
    assert {(row["arm"], row["key"]) for row in rows} >= {("one", "clean"), ("two", "pgd@linf:0.1")}


@pytest.mark.parametrize(
    ("keys", "name"),
    [([""], "report.html"), (["etc"], "report.html"), (["x"] * 13, "records.json"), (["x"], "audit.json")],
)
def test_what_is_not_there_is_not_found(shelf, keys, name):
    assert fetch(shelf, keys, name).status_code == 404


def test_records_that_cannot_stand_together_say_why(shelf, tmp_path, make_record):
    write_record(
        make_record("other", seed=1, data=make_record().data.__class__("x", "test", 40, ("a",) * 4, (8, 8), "e")),
        tmp_path / "c",
    )
    answer = fetch(shelf, [row.key for row in shelf.rows()], "report.html")
    assert answer.status_code == 404
    assert b"cannot stand in one report" in answer.body


def receive(*chunks, pictures=None):
    read = []

    async def stream():
        for chunk in chunks:
            read.append(len(chunk))
            yield chunk

    status, answer = asyncio.run(receive_picture(stream(), pictures or Pictures()))
    return status, answer, read


def test_a_picture_is_kept(encoded):
    kept, data = Pictures(), encoded()
    status, answer, _ = receive(data[:100], data[100:], pictures=kept)
    assert status == 200
    assert kept.fitted(answer["token"], (4, 4)).shape == (3, 4, 4)


def test_reading_ends_at_the_first_byte_too_many(monkeypatch):
    monkeypatch.setattr(routes_module, "MOST_BYTES", 1000)
    status, answer, read = receive(*[b"x" * 400] * 10)
    assert status == 413
    assert "too large" in answer["problem"]
    assert read == [400, 400, 400]


def test_a_broken_picture_is_answered_with_the_reason():
    assert receive(b"hello")[:2] == (
        422,
        {"problem": "not a picture that can be read here (PNG, JPEG, WEBP, GIF, BMP, TIFF)"},
    )
    assert receive()[0] == 422
