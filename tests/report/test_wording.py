import re
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from robustpeft.records import Measurement, Rate
from robustpeft.report.wording import (
    byte_text,
    condition_name,
    effort_text,
    number_text,
    percent_text,
    rate_text,
    strength_field,
    technique_name,
)


@given(st.integers(1, 10**7), st.data())
def test_a_percentage_is_100_or_0_only_when_it_is(n, data):
    count = data.draw(st.integers(0, n))
    text = percent_text(count / n)
    assert (text == "100.0") == (count == n)
    assert (text == "0.0") == (count == 0)


@given(st.integers(1, 10**5), st.data())
def test_a_percentage_is_within_half_a_tenth_of_the_share(n, data):
    count = data.draw(st.integers(0, n))
    number = float(re.sub("[<>] ", "", percent_text(count / n)))
    assert abs(number - 100 * count / n) <= 0.1


def test_nearly_all_of_many_is_not_all():
    assert percent_text(99_999 / 100_000) == "> 99.9"
    assert percent_text(1 / 100_000) == "< 0.1"


def test_a_rate_reads_with_its_interval_and_its_counts():
    # Wilson for 329 of 360 by hand: centre 0.9095, half width 0.0294
    assert rate_text(Rate(329, 360)) == "91.4 % (88.0 to 93.9), 329 of 360"
    assert rate_text(Rate(0, 0)) == "no images"


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (8 / 255, "8/255"), (1 / 255, "1/255"), (0.2, "0.2"), (4, "4"), (25, "25")]
)
def test_strengths_read_as_one_would_write_them(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (97_312, "97.3 kB"), (999_600, "1 MB"), (22_000_000, "22 MB")],
)
def test_bytes_read_in_decimal_units(count, text):
    assert byte_text(count) == text


def test_names_read_as_people_say_them():
    assert condition_name("pgd") == "PGD"
    assert condition_name("patch_drop") == "Patch drop"
    assert condition_name("my.package:MyAttack") == "MyAttack"
    assert technique_name({"name": "lora", "r": 8}) == "lora (r=8)"
    assert technique_name(None) == "-"


def test_effort_and_strength_come_from_the_settings():
    pgd = Measurement("k", "attack", "pgd", Rate(1, 2), (), {"steps": 20, "restarts": 1})
    assert effort_text(pgd) == "20 steps"
    assert effort_text(replace(pgd, settings={"steps": 20, "loss": "cross_entropy"})) == "20 steps"
    assert effort_text(replace(pgd, settings={"steps": 20, "loss": "margin"})) == "margin loss, 20 steps"
    assert effort_text(replace(pgd, name="apgd_dlr", settings={"steps": 9, "loss": "dlr"})) == "9 steps"
    shuffle = Measurement("k", "perturbation", "s", Rate(1, 2), (), {"grid": 4, "per_batch": False}, strength=4.0)
    assert strength_field(shuffle) == "grid"
