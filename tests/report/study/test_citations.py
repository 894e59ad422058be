import re
from dataclasses import replace

from robustpeft.attacks import ATTACKS
from robustpeft.objectives import OBJECTIVES
from robustpeft.pet import METHODS
from robustpeft.report.study.citations import _SAME, WORKS, cited
from robustpeft.report.study.summary import summarise_grids


def keys(works):
    return [re.match(r"@\w+{([\w-]+),", work)[1] for work in works]


def test_every_work_has_its_own_key_and_whole_braces():
    assert keys(WORKS.values()) == list(WORKS)
    for work in WORKS.values():
        assert work.count("{") == work.count("}")
        assert all(f"{word}={{" in work for word in ("title", "author", "year"))


def test_what_was_used_is_cited_once_and_nothing_else(study):
    grid = summarise_grids(study, "main")[0]
    assert keys(cited([grid, grid])) == ["lora", "fgsm", "pgd", "patch_shuffle", "vit", "digits"]
    combined = {"name": "combined", "methods": [{"name": "fulllora"}, {"name": "bitfit"}]}
    arm = replace(grid.arms[0], method=combined, objective={"name": "trades"})
    assert keys(cited([replace(grid, arms=(arm,))]))[:3] == ["fulllora", "bitfit", "trades"]


def test_works_stand_for_names_of_the_tables():
    names = METHODS.keys() | ATTACKS.keys() | OBJECTIVES.keys()
    others = {"vit", "timm", "vtab", "cifar", "imagenette", "digits", "patch_shuffle"}
    assert WORKS.keys() <= names | others
    assert _SAME.keys() <= names | {"patch_drop"}
