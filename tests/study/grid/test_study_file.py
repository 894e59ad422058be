import pytest

from robustpeft.attacks import AutoAttack
from robustpeft.errors import UserError
from robustpeft.study.grid import Contrast, arms_of, read_study, shipped_studies
from robustpeft.study.recipe import blanks

TEXT = """
question: Which?
base: fulllora-digits
set: {training.epochs: 3, threat.epsilon: 8/255}
axes: {method: [lora, full]}
audit: {epsilons: [1/255, 0.1], images: 50}
comparisons: [{reference: full}]
scale:
  smoke: {seeds: [5], set: {training.epochs: 1}, audit: {images: 10}}
  paper: {base: lora-digits, select: {training.learning_rate: [0.1]}}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        return str(file)

    return write


def test_a_scale_changes_keys_of_set_and_audit_and_replaces_the_rest(write):
    study = read_study(write(TEXT), "smoke")
    assert (study.name, study.scale, study.seeds) == ("mine", "smoke", (5,))
    assert study.set == {"training.epochs": 1, "threat.epsilon": "8/255"}
    assert (study.audit.images, study.audit.epsilons) == (10, (1 / 255, 0.1))
    assert study.comparisons == (Contrast("full"),)
    assert read_study(write(TEXT), "paper").base == "lora-digits"


def test_the_first_scale_is_taken_unless_another_is_asked_for(write):
    assert read_study(write(TEXT)).scale == "smoke"
    with pytest.raises(UserError, match="'papr'; did you mean 'paper'"):
        read_study(write(TEXT), "papr")


def test_settings_hold_for_all_arms(write):
    study = read_study(write(TEXT), settings=["training.epochs=7"])
    assert [arm.recipe.training.epochs for arm in arms_of(study)] == [7, 7]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("seeds: [5]", "sedes: [5]"), "unknown key 'sedes'; did you mean 'seeds'"),
        (("seeds: [5]", "seeds: []"), "seeds must be different"),
        (("seeds: [5]", "seeds: [5, 5]"), "seeds must be different"),
        (("seeds: [5]", "seeds: [0]"), "none the select_seed 0"),
        (("axes: {method: [lora, full]}", ""), "needs axes"),
        (("question: Which?", "name: a/b"), "becomes a directory"),
        (("audit: {epsilons", "audit: {epsilon"), "audit.epsilon"),
        (("paper: {base", "paper: {bsae"), "bsae"),
        (("smoke: {", "smoke: [{"), "not valid YAML"),
        (("  paper: {base: lora-digits, select: {training.learning_rate: [0.1]}}", "  paper: 3"), "scale must be"),
    ],
)
def test_a_mistake_is_told_also_in_a_scale_that_is_not_taken(write, change, said):
    assert change[0] in TEXT
    with pytest.raises(UserError, match=said.replace("[", r"\[")):
        read_study(write(TEXT.replace(*change)))


def test_a_file_that_is_not_a_mapping_and_a_name_that_is_nothing(write):
    with pytest.raises(UserError, match="must hold a mapping; got list"):
        read_study(write("[1]"))
    with pytest.raises(UserError, match="did you mean 'fulllora'"):
        read_study("fullora")


@pytest.mark.parametrize("name", sorted(shipped_studies()))
@pytest.mark.parametrize("scale", ["smoke", "cpu", "paper"])
def test_shipped_studies_have_every_scale_and_every_arm_is_a_recipe(name, scale):
    study = read_study(name, scale)
    arms = arms_of(study)
    assert study.sources
    assert study.headline is None or all(study.headline in arm.audit.epsilons for arm in arms)
    if name == "pet-robustness":
        assert study.transfers
        groups = [arm.group for arm in arms]
        tasks = len({arm.coordinates.get("data") for arm in arms})
        assert {group: groups.count(group) for group in ("LoRA", "Adapter", "AdaptFormer", "VPT")} == dict.fromkeys(
            ("LoRA", "Adapter", "AdaptFormer", "VPT"), 5 * tasks
        )
        assert {round(255 * epsilon, 2) for arm in arms for epsilon in arm.audit.epsilons} == {0.25, 0.5, 1, 2, 4}
    elif name == "vtab-1k":
        assert all(arm.recipe.data.root == "CHANGE-ME" for arm in arms)
        assert scale != "paper" or len({arm.recipe.data.task for arm in arms}) == 19


@pytest.mark.parametrize(
    ("scale", "grids"),
    [
        ("smoke", {"main", "ablations", "motivation"}),
        ("digits", {"main"}),
        ("ablations", {"ablations", "motivation"}),
        ("cpu", {"main"}),
        ("gpu", {"main"}),
        ("gpu-224", {"main"}),
        ("paper", {"main", "ablations", "motivation"}),
    ],
)
def test_the_second_papers_study_asks_at_every_scale_what_that_can_carry(scale, grids):
    arms, study = arms_of(read_study("fulllora", scale)), read_study("fulllora", scale)
    assert {arm.grid for arm in arms} == grids
    assert bool(study.distances) == ("motivation" in grids)
    assert len(study.seeds) >= 3 or scale == "smoke"
    if scale in ("cpu", "gpu", "gpu-224"):
        assert blanks(arms[0].recipe) == ("data.train",)
    if scale in ("digits", "cpu", "gpu", "gpu-224"):  # what carries a claim: AutoAttack, and the undefended beside it
        assert arms[0].label == "undefended"
        assert all(AutoAttack() in arm.audit.attacks for arm in arms)


@pytest.mark.parametrize("name", sorted(shipped_studies()))
def test_the_header_says_what_for_from_where_and_how(name):
    text = shipped_studies()[name].read_text()
    for word in ("Purpose", "Source", "Differs"):
        assert f"# {word}: " in text
    assert f"# Command: robustpeft study {name} --scale smoke --workers 2" in text
