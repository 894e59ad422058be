import re

import pytest

from robustpeft.errors import UserError
from robustpeft.study.policy import AtThreat, Drop, Policy, Price, read_policy

WHOLE = """
images: 300
max_age_days: 90
sealed: true
clean_accuracy: 0.9
worst_class_clean_accuracy: 0.7
robust_accuracy:
  - {norm: linf, epsilon: 8/255, at_least: 0.4}
  - {norm: l2, epsilon: 0.5, at_least: 0.3}
worst_class_robust_accuracy: [{epsilon: 4/255, at_least: 0.2}]
drop:
  - {under: patch_drop, strength: 0.3, at_most: 0.1}
  - {under: corruption, at_most: 0.3}
price: {at_most: 0.05, reference: ../undefended}
checks: [integrity, strength, gradient_true]
waive: {more_steps: "measured with the profile full, see ticket 12"}
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "policy.yaml").write_text(text)
        return read_policy(tmp_path / "policy.yaml")

    return read


def test_every_demand_can_be_written(read):
    assert read(WHOLE) == Policy(
        images=300,
        max_age_days=90.0,
        sealed=True,
        clean_accuracy=0.9,
        worst_class_clean_accuracy=0.7,
        robust_accuracy=(AtThreat(0.4, 8 / 255), AtThreat(0.3, 0.5, "l2")),
        worst_class_robust_accuracy=(AtThreat(0.2, 4 / 255),),
        drop=(Drop("patch_drop", 0.1, 0.3), Drop("corruption", 0.3)),
        price=Price(0.05, "../undefended"),
        checks=("integrity", "strength", "gradient_true"),
        waive={"more_steps": "measured with the profile full, see ticket 12"},
    )


BAD = {
    "clean_acuracy: 0.9": "unknown key 'clean_acuracy'; did you mean 'clean_accuracy'?",
    "clean_accuracy: 90": "clean_accuracy must be a share in (0, 1]; got 90 (did you mean 0.9?)",
    "clean_accuracy: high": "clean_accuracy must be a valid number",
    "clean_accuracy: yes": "clean_accuracy must be ",
    "clean_accuracy: 0": "clean_accuracy must be a share in (0, 1]; got 0",
    "worst_class_clean_accuracy: .nan": "worst_class_clean_accuracy must be a share",
    "robust_accuracy: 0.4": "robust_accuracy must be a list",
    "robust_accuracy: [{at_least: 0.4}]": "epsilon",
    "robust_accuracy: [{at_least: 0.4, epsilon: 8/255, nrom: l2}]": "'robust_accuracy.0.nrom'; did you mean 'norm'?",
    "robust_accuracy: [{at_least: 0.4, epsilon: 0}]": "epsilon must be above 0",
    "robust_accuracy: [{at_least: -1, epsilon: 0.1}]": "at_least must be a share",
    "drop: [{under: patch_drop, at_most: 1}]": "at_most must be a share in [0, 1)",
    "price: {at_most: 0.1}": "reference",
    "price: {at_most: 5, reference: x}": "at_most must be a share in [0, 1)",
    "checks: strength": "checks must be ",
    "images: 0": "images must be at least 1",
    "max_age_days: -3": "max_age_days must be above 0",
    "sealed: perhaps": "sealed must be ",
    "{sealed: true, waive: {more_steps: ''}}": "waive.more_steps has no reason",
    "{sealed: true, waive: {more_steps: '  '}}": "waive.more_steps has no reason",
    "{sealed: true, waive: {more_steps: }}": "waive must be a valid string",
    "{sealed: true, waive: [more_steps]}": "waive must be ",
    "waive: {more_steps: why}": "the policy asks for nothing",
    "sealed: false": "the policy asks for nothing",
    "": "must hold a mapping; got NoneType",
    "- 1": "must hold a mapping; got list",
    "{": "is not valid YAML",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=BAD)
def test_what_cannot_be_meant_is_refused(read, text, message):
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        read(text)
    assert "policy.yaml" in str(refused.value)


def test_a_policy_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no policy at .*nowhere\.yaml"):
        read_policy(tmp_path / "nowhere.yaml")
