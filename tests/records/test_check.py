import pytest

from robustpeft.records import Check
from robustpeft.records.check import GROUPS, VERDICTS


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("group", GROUPS)
def test_known_verdicts_and_groups_are_taken(verdict, group):
    check = Check("key", "Title", verdict, "seen", group=group)
    assert (check.verdict, check.group, check.remedy) == (verdict, group, "")


@pytest.mark.parametrize("fields", [{"verdict": "maybe"}, {"group": "other"}])
def test_unknown_ones_are_refused(fields):
    with pytest.raises(ValueError, match="has no verdict"):
        Check(**({"key": "key", "title": "Title", "verdict": "pass", "evidence": "seen"} | fields))
