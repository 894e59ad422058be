import threading

import pytest

from robustpeft.app import stage as stage_module
from robustpeft.app.choices import Question
from robustpeft.app.records_view import RecordsView
from robustpeft.app.settings import Settings
from robustpeft.app.stage import Stage
from robustpeft.app.wish import Picked, Wish
from robustpeft.errors import UserError
from robustpeft.records import write_record


@pytest.fixture(scope="module")
def stage(runs):
    return Stage(Settings(folders=(runs,), data="digits", device="cpu"))


def wish(stage, question=None, picked=None, labels=None):
    (family,) = stage.lineups
    chosen = stage.usual_labels(family) if labels is None else labels
    return Wish(family, chosen, picked or Picked(), question or Question("attack", "pgd", 0.05, steps=2))


def perform(stage, wanted, still=lambda: True):
    return list(stage.perform(wanted, still))


def test_nothing_to_show_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"neither a run nor a record.*robustpeft demo"):
        Stage(Settings(folders=(tmp_path,)))


def test_records_alone_are_enough(tmp_path, make_record):
    write_record(make_record(), tmp_path / "a")
    stage = Stage(Settings(folders=(tmp_path,)))
    assert stage.lineups == {}
    assert "1 of 1 record;" in stage.records(RecordsView())


def test_an_answer_has_a_card_for_every_model(stage):
    *before, (progress, answer) = perform(stage, wish(stage))
    assert all(html is None for _, html in before)
    assert progress == ""
    assert answer.count('class="rp-card"') == 3
    assert "undefended" in answer


def test_the_same_wish_is_answered_from_memory(stage, monkeypatch):
    question = Question("corruption", "fog", 2)
    first = perform(stage, wish(stage, question))[-1]
    monkeypatch.setattr(stage_module, "demonstrate", lambda *a: pytest.fail("computed again"))
    assert perform(stage, wish(stage, question)) == [first]


def test_an_uploaded_picture(stage, encoded):
    token = stage.pictures.add(encoded("JPEG", (50, 30)))
    answer = perform(stage, wish(stage, picked=Picked(token=token)))[-1][1]
    assert "whose true class nobody named" in answer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ()}, "choose at least one model"),
        ({"labels": ("nobody",)}, "there is no model"),
        ({"picked": Picked(token="gone")}, "not kept any more"),
        ({"picked": Picked(place=99)}, "choose an image first"),
        ({"question": Question("attack", "fab", 1.0, "l1", 2)}, "FAB is written for linf and l2"),
    ],
)
def test_a_mistake_is_told_in_the_page(stage, changes, message):
    progress, answer = perform(stage, wish(stage, **changes))[-1]
    assert answer is None
    assert 'role="alert"' in progress
    assert message in progress


def test_a_search_ends_when_something_else_is_wanted(stage):
    asked = []

    def still():
        asked.append(1)
        return len(asked) < 5

    long = wish(stage, Question("attack", "pgd", 0.05, steps=9999))
    progress, answer = perform(stage, long, still)[-1]
    assert answer is None
    assert "Stopped." in progress
    assert len(asked) == 5


def test_a_page_that_is_closed_ends_its_search(stage):
    long = stage.perform(wish(stage, Question("attack", "pgd", 0.05, steps=9998)), lambda: True)
    shown = next(html for html, _ in long if "progress" in html)
    assert "of at most 10,001 looks at the model" in shown
    closing = threading.Thread(target=long.close)
    closing.start()
    closing.join(timeout=60)
    assert not closing.is_alive()


def test_what_is_quick_enough_to_follow_a_slider(stage):
    assert stage.is_live(wish(stage, Question("attack", "pgd", 0.05, steps=100)))
    assert not stage.is_live(wish(stage, Question("attack", "autoattack", 0.05)))
    assert stage.is_live(wish(stage, Question("corruption", "fog", 5)))


def test_examples_say_when_there_are_none(runs, stage):
    (family,) = stage.lineups
    assert stage.examples(family, 0, Picked()).count("data-pick") == 12
    without = Stage(Settings(folders=(runs,), device="cpu"))
    assert "No example images" in without.examples(family, 0, Picked())


def test_a_family_that_is_none_is_refused(stage):
    with pytest.raises(UserError, match="no such backbone"):
        stage.lineup("x")


def test_a_comparison_or_why_there_is_none(tmp_path, make_record):
    for name in "abc":
        write_record(make_record(name), tmp_path / name)
    stage = Stage(Settings(folders=(tmp_path,)))
    keys = [row.key for row in stage.shelf.rows()]
    assert "Differences on the same images" in stage.comparison(keys)
    assert "choose at least two" in stage.comparison(keys[:1])
    assert "there is no such record" in stage.comparison(["x", "y"])
    assert "at most 12 records" in stage.comparison(["x"] * 13)


def test_records_that_cannot_be_read_are_named(tmp_path, make_record):
    write_record(make_record(), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "audit.json").write_text("[]")
    html = Stage(Settings(folders=(tmp_path,))).records(RecordsView(text="lora"))
    assert "Left out:" in html
    assert "1 of 1 record;" in html
