import pytest

from robustpeft.errors import UserError
from robustpeft.study.targets import TARGETS, Facts, check_used, default_place, find_target


def test_only_what_was_said_counts_as_given():
    assert Facts().given() == frozenset()
    assert Facts(weights="w", trust=True, options={"a": 1}).given() == {"weights", "trust", "options"}


@pytest.mark.parametrize("kind", TARGETS)
def test_every_kind_reads_fields_that_exist(kind):
    assert TARGETS[kind].takes <= set(Facts.__dataclass_fields__)
    assert TARGETS[kind].looks_like


def test_what_one_of_several_reads_is_used():
    targets = [find_target("digits_vit"), find_target("some.onnx")]
    check_used(targets, Facts(architecture="digits_vit"))
    with pytest.raises(UserError, match=r"--option says nothing of a target of this kind \(timm, onnx\)"):
        check_used(targets, Facts(options={"a": 1}))


def test_an_audit_goes_into_a_run_and_else_beside(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert default_place(str(run.path)) == run.path / "audit"
    assert default_place("models/big one.onnx").as_posix() == "audits/big-one"
    assert default_place("package.module:make").as_posix() == "audits/package.module-make"
