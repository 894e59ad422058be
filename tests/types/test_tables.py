import pytest

from robustpeft.types import L2, THREATS, Linf, UserError, look_up, name_of


class Outer:
    class Inner:
        pass


TABLE = {"linf": Linf, "l2": L2}


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_threats.py").write_text("from fractions import Fraction\nclass Mine: pass\nsize = 3\n")
    (tmp_path / "own_broken.py").write_text("import own_missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_key_of_the_table_names_its_class():
    assert look_up(TABLE, "linf", "threat") is Linf
    assert all(look_up(THREATS, name_of(THREATS, cls(0.1)), "threat") is cls for cls in (Linf, L2))


def test_a_class_of_ones_own_is_named_by_module_and_class(own_module):
    mine = look_up(TABLE, "own_threats:Mine", "threat")
    assert mine.__name__ == "Mine"
    assert name_of(TABLE, mine()) == "own_threats:Mine"


def test_a_class_within_a_class_is_found_under_the_name_it_is_given():
    name = name_of({}, Outer.Inner())
    assert name.endswith(":Outer.Inner")
    assert look_up({}, "collections:OrderedDict", "axis").__name__ == "OrderedDict"
    assert look_up({}, "enum:Enum.__class__", "axis").__name__ == "EnumType"


def test_a_subclass_does_not_go_by_the_name_of_its_parent():
    class Special(Outer):
        pass

    assert name_of({"outer": Outer}, Special()) != "outer"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lnf", r"unknown threat 'lnf'; did you mean 'linf'\? Valid: l2, linf, or 'package\.module:Class'"),
        ("own_threats:Mina", r"own_threats has no class 'Mina'; did you mean 'Mine'\? Valid: Mine$"),
        ("own_threats:size", "has no class 'size'"),
        ("own_threats:", "has no class ''"),
        ("own_threats:Mine.Deeper", "has no class 'Mine.Deeper'"),
        ("own_treats:Mine", "cannot import 'own_treats'"),
        ("own_broken:Mine", r"cannot import 'own_broken' \(No module named 'own_missing_dependency'\)"),
        (":Mine", "'' is no module name"),
        (".own_threats:Mine", "is no module name; expected 'package.module:Class'"),
        ("own/threats.py:Mine", "is no module name"),
    ],
)
def test_a_name_that_stands_for_no_class_is_refused(own_module, name, message):
    with pytest.raises(UserError, match=message):
        look_up(TABLE, name, "threat")
