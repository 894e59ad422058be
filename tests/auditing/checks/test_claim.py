import dataclasses

import pytest

from robustpeft.auditing.checks.claim import claimed_clean


@pytest.fixture
def ask(make_case, make_split):
    """Return what is said of a claim where 30 of 48 images are right: 62.5 %, 48.4 to 74.8."""

    def claim(value):
        labels = make_split().labels.clone()
        labels[:18] = (labels[:18] + 1) % 3
        case = make_case(split=make_split(labels=labels))
        return claimed_clean(dataclasses.replace(case, subject=dataclasses.replace(case.subject, claimed_clean=value)))

    return claim


@pytest.mark.parametrize(
    ("claim", "verdict", "word"),
    [
        (0.625, "pass", "consistent"),
        (0.5, "pass", "consistent"),
        (0.74, "pass", "consistent"),
        (0.913, "fail", "below"),
        (0.3, "warn", "above"),
        (None, "not_applicable", "Nothing was claimed"),
    ],
)
def test_a_claim_is_compared_with_the_interval(ask, claim, verdict, word):
    answer = ask(claim)
    assert (answer.verdict, answer.group) == (verdict, "integrity")
    assert word in answer.evidence


def test_a_little_below_is_in_doubt_and_no_more(make_case, make_split):
    labels = make_split(200).labels.clone()
    labels[:18] = (labels[:18] + 1) % 3
    case = make_case(split=make_split(200, labels=labels))  # 182 of 200, 91.0 %, 86.2 to 94.2
    say = {
        value: claimed_clean(
            dataclasses.replace(case, subject=dataclasses.replace(case.subject, claimed_clean=value))
        ).verdict
        for value in (0.94, 0.98, 1.0)
    }
    assert say == {0.94: "pass", 0.98: "warn", 1.0: "warn"}
