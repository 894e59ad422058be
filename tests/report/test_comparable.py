import dataclasses

import pytest

from robustpeft.errors import UserError
from robustpeft.records import Rate, Seal
from robustpeft.report.comparable import comparable, differences
from robustpeft.report.limits import limits


def test_no_record_is_an_error():
    with pytest.raises(UserError, match="at least one"):
        comparable([])


@pytest.mark.parametrize(
    ("field", "value"),
    [("digest", "e" * 64), ("image_size", (32, 32)), ("classes", ("one", "zero", "two", "three"))],
)
def test_records_of_other_images_are_refused_by_name(make_record, field, value):
    with pytest.raises(UserError, match=r"LoRA: .*; full: "):
        comparable([make_record("LoRA"), make_record("full", data={field: value})])


def test_records_attacked_with_unequal_effort_are_refused(make_record):
    weak = make_record("weak")
    changed = tuple(
        dataclasses.replace(m, settings={"steps": 5, "restarts": 1}) if m.name == "pgd" else m
        for m in weak.measurements
    )
    with pytest.raises(UserError, match=r"settings of pgd@linf:0\.05 differ.*steps=20.*weak: .*steps=5"):
        comparable([make_record("strong"), dataclasses.replace(weak, measurements=changed)])


def test_repeated_labels_get_numbers(make_record):
    labels = [r.subject.label for r in comparable([make_record("a"), make_record("b"), make_record("a")])]
    assert labels == ["a (1)", "b", "a (2)"]


def sealed(record, pixels="p" * 64, plan=None, **fields):
    plan = {"precision": "float32", "checks": "standard"} | (plan or {})
    values = {"model": "m", "data": "d", "images": 40, "image_size": (16, 16), "classes": ("a",), "seed": 0}
    return dataclasses.replace(record, seal=Seal(**(values | {"pixels": pixels, "plan": plan} | fields)))


def test_the_same_ids_with_other_pixels_are_other_images(make_record):
    with pytest.raises(UserError, match="their pixels differ: one: pppppppppppp; two: qqqqqqqqqqqq"):
        comparable([sealed(make_record("one")), sealed(make_record("two"), pixels="q" * 64)])
    assert len(comparable([sealed(make_record("one")), make_record("without a seal")])) == 2


def test_audits_alike_differ_in_nothing(make_record):
    assert differences([sealed(make_record("one")), sealed(make_record("two"))]) == ()
    assert differences([make_record("one"), sealed(make_record("two"))]) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": {"precision": "bf16"}}, "precision of the attacks' passes: one: float32; two: bf16"),
        ({"plan": {"checks": "none"}}, "doubt themselves: one: standard; two: none"),
        ({"versions": {"torch": "2.9"}}, "versions of the software: one: ; two: torch 2.9"),
    ],
    ids=["precision", "checks", "versions"],
)
def test_what_differs_besides_is_said(make_record, change, said):
    (sentence,) = differences([sealed(make_record("one")), sealed(make_record("two"), **change)])
    assert said in sentence


def test_attacks_that_one_model_alone_met_and_another_seed_are_said(make_record):
    one, two = make_record("one"), make_record("two")
    two = dataclasses.replace(two, seed=7, measurements=tuple(m for m in two.measurements if m.name != "pgd"))
    attacks, seed = differences([one, two])
    assert "attacks that were tried: one: fgsm@linf:0.05, fgsm@linf:0.1, pgd@linf:0.05" in attacks
    assert "two: fgsm@linf:0.05, fgsm@linf:0.1." in attacks
    assert "the seed: one: 17; two: 7" in seed
    assert seed in limits([one, two])


def test_audits_that_asked_about_different_numbers_of_images_are_told_apart(make_record):
    def asked(label, n):
        record = make_record(label)
        square = dataclasses.replace(
            record["pgd@linf:0.1"], key="square@linf:0.1", name="square", queries=9, correct=Rate(1, n), settings={}
        )
        return dataclasses.replace(record, measurements=(*record.measurements, square))

    assert differences([asked("one", 5), asked("two", 5)]) == ()
    (sentence,) = differences([asked("one", 5), asked("two", 40)])
    assert "asked about: one: 5 by square@linf:0.1; two: 40 by square@linf:0.1" in sentence
