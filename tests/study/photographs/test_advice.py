from pathlib import Path

import pytest

from robustpeft.data.duplicates import Duplicate
from robustpeft.data.folder_scan import FolderContent, FoundImage
from robustpeft.data.reading import Broken
from robustpeft.data.survey import Photograph, Survey
from robustpeft.study.photographs.advice import count_to_test, notes_of


def of(counts, splits=("",), copies=(), broken=(), strangers=(), **facts):
    """A survey with `counts` photographs a class in each of the splits."""
    images = [
        FoundImage(f"{split}{'/' if split else ''}{name}/{i}.jpg", name, split)
        for split in splits
        for name, count in counts.items()
        for i in range(count)
    ]
    photographs = [
        Photograph(i.path, i.class_name, i.split, 500, 400, "JPEG", grey=False, turned=False)
        if not (given := facts.get(i.class_name))
        else Photograph(i.path, i.class_name, i.split, **given)
        for i in images
    ]
    return Survey(
        Path("photos"), FolderContent(tuple(counts), tuple(images), strangers), tuple(photographs), broken, copies
    )


def said(survey, kind):
    return " | ".join(note.text for note in notes_of(survey) if note.kind == kind)


def test_a_good_folder_has_neither_problems_nor_warnings():
    good = of({"cat": 100, "dog": 100})
    assert said(good, "problem") == said(good, "warning") == ""
    assert "20 % for test" in said(good, "note")
    assert "about 40 photographs to test on" in said(good, "note")


def test_the_interval_is_wilsons():
    assert "+-15 points" in said(of({"cat": 100, "dog": 100}), "note")  # 20 of 40: 35.2 to 64.8 %


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        (of({"cat": 100, "dog": 15}), ("dog (15)",)),
        (of({"cat": 500, "dog": 50}), ("uneven", "500 of cat, 50 of dog", "91 %")),
        (of({"cat": 30, "dog": 30}, broken=(Broken("x.jpg", "cut off"),)), ("1 file", "x.jpg (cut off)")),
        (of({"a": 30, "b": 30}, copies=(Duplicate("", "a/1.jpg", "", "a/2.jpg", True),)), ("1 pair", "data.group")),
        (of({"a": 30, "b": 30}, copies=(Duplicate("", "a/1.jpg", "", "b/2.jpg", True),)), ("two classes",)),
        (
            of(
                {"a": 30, "b": 30},
                splits=("train", "test"),
                copies=(Duplicate("", "train/a/1.jpg", "", "test/a/1.jpg", False),),
            ),
            ("across train, validation and test", "0 of them exact"),
        ),
        (
            of({"a": 30, "b": 30}, a={"width": 9, "height": 9, "kind": "JPEG", "grey": True, "turned": False}),
            ("a is mostly grey and b is not",),
        ),
        (
            of({"a": 30, "b": 30}, b={"width": 9, "height": 9, "kind": "PNG", "grey": False, "turned": False}),
            ("a is mostly JPEG", "format"),
        ),
    ],
)
def test_what_would_mislead_is_a_warning(survey, words):
    assert [word for word in words if word not in said(survey, "warning")] == []


@pytest.mark.parametrize(
    ("counts", "words"), [({"cat": 90}, "one class only"), ({"cat": 90, "dog": 2}, "nothing is left to test on")]
)
def test_what_tuning_would_stop_at_is_a_problem(counts, words):
    assert words in said(of(counts), "problem")
    assert notes_of(of(counts))[0].kind == "problem"


def test_a_class_that_is_a_problem_is_not_a_warning_too():
    assert "dog" not in said(of({"cat": 8, "dog": 2}), "warning")
    assert "cat (8)" in said(of({"cat": 8, "dog": 2}), "warning")


def test_photographs_to_test_on_are_the_owners_where_there_are_some():
    assert count_to_test(of({"cat": 50, "dog": 10}), "dog") == 2
    assert count_to_test(of({"cat": 50, "dog": 10}, splits=("train", "test")), "dog") == 10
