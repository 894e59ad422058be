import pytest

from robustpeft.errors import UserError
from robustpeft.study.compare_runs import CompareRequest, _threat, compare_runs
from robustpeft.types import L2, Linf


def test_the_threat_is_the_tuned_one_with_changes():
    assert _threat(Linf(0.1), {}) == Linf(0.1)
    assert _threat(None, {}) is None
    assert _threat(Linf(0.1), {"epsilon": "8/255"}) == Linf(8 / 255)
    assert _threat(Linf(0.1), {"norm": "l2", "epsilon": 0.5}) == L2(0.5)
    assert _threat(L2(0.5), {"epsilon": 1.0}) == L2(1.0)
    assert _threat(None, {"epsilon": 0.1}) == Linf(0.1)
    with pytest.raises(UserError, match="epsilon must be given with norm 'l2'"):
        _threat(Linf(0.1), {"norm": "l2"})


def test_a_record_that_is_there_stays(tmp_path):
    (tmp_path / "transfer.json").write_text("{}")
    with pytest.raises(UserError, match="holds a comparison already"):
        compare_runs(["a", "b"], tmp_path, CompareRequest())
