import re
from html.parser import HTMLParser

import pytest
import torch

from robustpeft.app.choices import Question
from robustpeft.app.comparison import compare_records
from robustpeft.app.demonstration import Shown, demonstrate
from robustpeft.app.examples import Example
from robustpeft.app.markup import (
    answer_html,
    comparison_html,
    examples_html,
    notice_html,
    progress_html,
    question_text,
    records_html,
)
from robustpeft.app.records_table import Shelf
from robustpeft.records import write_record


class Reader(HTMLParser):
    """Collects text, and complains of a tag or attribute that only hostile text could have brought."""

    def __init__(self):
        super().__init__()
        self.text, self.tags = "", []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        assert not any(name.startswith("on") for name in names), (tag, attrs)
        assert not (tag == "img" and names.get("src") == "x")
        self.tags.append((tag, names))

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def test_hostile_names_of_classes_and_models_stay_text(linear, hostile):
    classes = ("zero", hostile)
    shown = Shown(torch.full((3, 2, 2), 0.5), 1)
    answer = demonstrate({hostile: linear(1.0, 2.0)}, shown, Question("attack", "fgsm", 0.1))
    page = read(answer_html(answer, classes))
    assert page.text.count(hostile) >= 4  # model, its verdict, true class, bars
    assert read(examples_html([Example(0, 1, shown.image)], classes, 0, "")).text.strip() == hostile
    assert hostile in read(notice_html(hostile)).text
    assert hostile in read(progress_html(hostile, 1, 2)).text


def test_hostile_records_stay_text(tmp_path, make_record, hostile):
    records = [make_record(hostile), make_record("b")]
    for name, record in zip(("<b>", "c"), records, strict=True):
        write_record(record, tmp_path / name)
    rows = Shelf([tmp_path]).rows()
    page = read(records_html(rows, 2, (), "robust", descending=True))
    assert hostile in page.text
    assert "b" not in [tag for tag, _ in page.tags]
    assert hostile in read(comparison_html(compare_records(records), ("k", "l"))).text


def test_what_an_answer_says(linear):
    models = {"weak": linear(2.0, 1.9), "other": linear(1.0, 2.0)}
    shown = Shown(torch.full((3, 2, 2), 0.5), 0)
    html = answer_html(demonstrate(models, shown, Question("attack", "fgsm", 8 / 255, seed=4)), ("cat", "dog"))
    page = read(html)
    assert "FGSM, within Linf 8/255 (0.0314)" in page.text
    assert "seed 4" in page.text
    assert "on an image of class cat" in " ".join(page.text.split())
    assert "One image is an anecdote" in page.text
    assert "Wrong before and after" in page.text
    assert len(re.findall("data:image/png;base64", html)) == 6
    assert sum(tag == "li" for tag, _ in page.tags) == 8
    assert all(names.get("alt") for tag, names in page.tags if tag == "img")


def test_an_unnamed_truth_is_said(linear):
    shown = Shown(torch.full((3, 2, 2), 0.5))
    answer = demonstrate({"m": linear(2.0, 1.0)}, shown, Question("corruption", "fog", 2))
    html = answer_html(answer, ("cat", "dog"))
    assert "whose true class nobody named" in html
    assert "rp-mark" not in html


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question("attack", "pgd", 8 / 255), "PGD, 20 steps, within Linf 8/255 (0.0314)"),
        (Question("attack", "square", 0.5, "l2", 5000), "Square, 5,000 queries, within L2 0.5"),
        (Question("attack", "pgd", 0.05, "patch"), "PGD, 20 steps, within a square of 5% of the image"),
        (Question("perturbation", "patch_drop", 0.3), "Patch drop 0.3"),
        (Question("corruption", "fog", 3), "Fog, severity 3"),
    ],
)
def test_a_question_in_words(question, text):
    assert question_text(question) == text


def test_only_the_chosen_example_is_pressed():
    images = [Example(i, 0, torch.zeros(3, 4, 4)) for i in range(3)]
    page = read(examples_html(images, ("a",), 2, "example/2/1"))
    pressed = {names["data-pick"]: names["aria-pressed"] for tag, names in page.tags if tag == "button"}
    assert pressed == {"example/2/0": "false", "example/2/1": "true", "example/2/2": "false"}


def test_the_table_says_how_it_is_sorted_and_what_is_chosen(tmp_path, make_record, check):
    write_record(make_record("a"), tmp_path / "a")
    write_record(make_record("b", checks=(check("integrity", "fail"),)), tmp_path / "b")
    write_record(make_record("c", checks=(check("model", "fail"),)), tmp_path / "c")
    rows = Shelf([tmp_path]).rows()
    page = read(records_html(rows, 5, (rows[0].key,), "clean", descending=True))
    assert [names["aria-sort"] for tag, names in page.tags if "aria-sort" in names] == ["descending"]
    assert ["checked" in names for tag, names in page.tags if tag == "input"] == [True, False, False]
    assert "3 of 5 records; 1 chosen." in page.text
    assert "no number is given" in page.text
    assert "\u2264 75.0 %" in page.text


def test_nothing_found_is_said():
    assert "No record holds all these words" in records_html((), 3, (), "clean", descending=True)
    assert "robustpeft audit RUN" in records_html((), 0, (), "clean", descending=True)
