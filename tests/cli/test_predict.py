import csv
import re
from collections.abc import Callable
from typing import Any


def test_every_picture_gets_a_line_and_broken_ones_are_named_and_counted(
    place: Any, type_in: Callable[..., Any]
) -> None:
    (place.photos / "cat" / "3.png").write_bytes(b"not an image")
    ended = type_in("predict", place.run(), "photos", "--device", "cpu")
    assert ended.status == 0
    with (place.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert {row["label"] for row in rows if not row["problem"]} <= {"cat", "dog"}
    assert [row["path"] for row in rows if row["problem"]] == ["photos/cat/3.png"]
    assert "photos/cat/3.png cannot be read" in ended.err
    assert "1 of 24 pictures" in ended.err
    said, where = ended.out.splitlines()
    assert said.startswith("23 pictures: ")
    assert where == "predictions: predictions.csv"


def test_one_picture_is_answered_at_once(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("predict", place.run(), "photos/cat/3.png", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert re.fullmatch(r"3\.png: (cat|dog), \d+\.\d %\npredictions: predictions\.csv\n", ended.out)


def test_predictions_are_replaced_when_asked(place: Any, type_in: Callable[..., Any]) -> None:
    place.write("mine.csv", "old")
    ended = type_in("predict", place.run(), "photos", "--output", "mine.csv", "--overwrite", "--batch-size", "5")
    assert ended.status == 0
    assert (place.path / "mine.csv").read_text().startswith("path,label,confidence,problem")
