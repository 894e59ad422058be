import json

import pytest

from robustpeft.app.lookup import find_runs, walk
from robustpeft.errors import UserError

SAID = {
    "version": 1,
    "backbone": {"name": "digits_vit"},
    "backbone_name": "digits_vit",
    "backbone_digest": "d" * 64,
    "image_size": [16, 16],
    "classes": ["a", "b"],
    "method": {"name": "lora", "r": 2},
    "threat": {"norm": "linf", "epsilon": 8 / 255},
    "tuning": {},
}


def write_run(path, **changes):
    path.mkdir(parents=True)
    (path / "robustpeft.json").write_text(json.dumps(SAID | changes))
    return path


def test_runs_are_found_below_a_folder(tmp_path):
    write_run(tmp_path / "b" / "deep", threat=None)
    write_run(tmp_path / "a")
    (tmp_path / "not-a-run").mkdir()
    found = find_runs((), [tmp_path])
    assert [run.label for run in found.runs] == ["a (lora), Linf 8/255", "deep (lora)"]
    assert list(found.families) == ["digits_vit, 2 classes, 16 x 16 pixels"]
    assert found.problems == ()


def test_those_given_come_first_and_once(tmp_path):
    write_run(tmp_path / "a-lora")
    given = write_run(tmp_path / "b-lora")
    found = find_runs([given, tmp_path / "." / "b-lora"], [tmp_path])
    assert [run.path.name for run in found.runs] == ["b-lora", "a-lora"]
    assert found.runs[0].label == "b-lora, Linf 8/255"


@pytest.mark.parametrize("change", [{"backbone_digest": "e" * 64}, {"classes": ["b", "a"]}, {"image_size": [32, 32]}])
def test_what_differs_below_the_adapter_is_another_family(tmp_path, change):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", **change)
    families = find_runs((), [tmp_path]).families
    assert len(families) == 2
    assert [len(runs) for runs in families.values()] == [1, 1]


def test_equal_names_get_their_path(tmp_path):
    write_run(tmp_path / "x" / "run")
    write_run(tmp_path / "y" / "run")
    labels = [run.label for run in find_runs((), [tmp_path]).runs]
    assert len(set(labels)) == 2
    assert str(tmp_path / "x" / "run") in labels[0]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99}', "null"])
def test_a_damaged_run_is_a_problem_where_found_and_an_error_where_given(tmp_path, text):
    run = write_run(tmp_path / "a")
    (run / "robustpeft.json").write_text(text)
    found = find_runs((), [tmp_path])
    assert found.runs == ()
    assert len(found.problems) == 1
    with pytest.raises(UserError):
        find_runs([run], [])


@pytest.mark.parametrize("change", [{"classes": 3}, {"method": 3}, {"threat": {"norm": "linf"}}, {"image_size": [1]}])
def test_so_is_one_whose_fields_are_of_another_kind(tmp_path, change):
    write_run(tmp_path / "a", **change)
    (problem,) = find_runs((), [tmp_path]).problems
    assert "is damaged" in problem


def test_links_and_checkpoints_are_passed_by(tmp_path):
    outside = write_run(tmp_path / "outside")
    inside = tmp_path / "inside"
    write_run(inside / "run" / "checkpoints")
    (inside / "link").symlink_to(outside)
    assert walk(inside, "robustpeft.json") == []
