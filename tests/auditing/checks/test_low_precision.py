import dataclasses

import pytest

from robustpeft.attacks import Missed
from robustpeft.auditing.checks import Keepsake
from robustpeft.auditing.checks.low_precision import low_precision


@pytest.mark.parametrize(
    ("missed", "verdict", "words"),
    [
        (None, "not_applicable", "ran in float32"),
        (Missed((20, 0), (0, 0)), "not_applicable", "No image held"),
        (Missed((20, 16), (3, 0)), "pass", "Of 16 images that held in bfloat16, float32 breaks 0 (0.0 to 19.4 %)"),
        (Missed((20, 16), (0, 1)), "fail", "of 16 images that held in bfloat16, float32 breaks 1"),
    ],
)
def test_what_float32_broke_of_the_sample_at_the_largest_radius_counts(make_case, missed, verdict, words):
    answer = low_precision(dataclasses.replace(make_case(), keepsake=Keepsake(0, missed=missed)))
    assert (answer.verdict, answer.group) == (verdict, "strength")
    assert words in answer.evidence
