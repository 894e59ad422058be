import pytest

from robustpeft.attacks import ATTACK_AXIS, FAB, FGSM, PGD, AutoAttack, HardLabel, Square
from robustpeft.auditing import AuditPlan, default_perturbations
from robustpeft.errors import UserError
from robustpeft.perturbations import PERTURBATIONS, PatchDrop, Perturbation
from robustpeft.types import L2, Axis, Linf, Patch, from_plain


def test_the_default_is_fgsm_and_pgd_and_four_perturbations_on_a_thousand_images():
    plan = AuditPlan(epsilons=(0.1,))
    assert plan.attacks == (FGSM(), PGD(steps=20), PGD(steps=20, loss="margin"))
    assert plan.threats == (Linf(0.1),)
    assert plan.images == 1000
    assert plan.perturbations_for((32, 32)) == default_perturbations((32, 32))


def test_given_perturbations_are_kept_for_every_size():
    plan = AuditPlan(epsilons=(0.1,), perturbations=(PatchDrop(0.5),))
    assert plan.perturbations_for((7, 7)) == (PatchDrop(0.5),)


def test_the_norm_is_looked_up():
    assert AuditPlan(epsilons=(0.5, 1.0), norm="l2").threats == (L2(0.5), L2(1.0))


def test_a_plan_is_read_from_plain_data():
    axes = (ATTACK_AXIS, Axis(Perturbation, PERTURBATIONS, "perturbation"))
    plain = {
        "epsilons": ["2/255", "8 / 255"],
        "attacks": ["fgsm", {"name": "pgd", "steps": 3}],
        "perturbations": [{"name": "patch_drop", "ratio": 0.3}],
        "images": None,
    }
    assert from_plain(AuditPlan, plain, axes) == AuditPlan(
        epsilons=(2 / 255, 8 / 255), attacks=(FGSM(), PGD(steps=3)), perturbations=(PatchDrop(0.3),), images=None
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epsilons": ()}, "at least one epsilon"),
        ({"epsilons": (0.0, 0.1)}, "above 0"),
        ({"epsilons": (0.2, 0.1)}, "ascending"),
        ({"epsilons": (0.1, 0.1)}, "ascending"),
        ({"epsilons": (8,)}, "8 / 255"),
        ({"norm": "linff"}, "did you mean 'linf'"),
        ({"norm": "collections:OrderedDict"}, "not a threat"),
        ({"attacks": (PGD(keep="last"),)}, "nobody looked"),
        ({"attacks": (FGSM(), FGSM())}, "twice"),
        ({"attacks": FGSM()}, "must be a tuple of attack values"),
        ({"attacks": (PatchDrop(0.1),)}, "must be a tuple of attack values"),
        ({"perturbations": (FGSM(),)}, "must be a tuple of perturbation values"),
        ({"images": 0}, "images must be at least 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"gallery": -1}, "gallery"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        AuditPlan(**{"epsilons": (0.1,), **fields})


def test_without_attacks_no_epsilon_is_needed():
    assert AuditPlan(epsilons=(), attacks=()).threats == ()


def test_corruptions_come_on_top_of_the_perturbations_once():
    from robustpeft.perturbations import Corruption, corruption_suite

    fog = Corruption("fog", 3)
    plan = AuditPlan(epsilons=(0.1,), perturbations=(fog,), corruptions=(1, 3))
    chosen = plan.perturbations_for((16, 16))
    assert chosen[0] == fog
    assert set(chosen) == set(corruption_suite((1, 3)))
    assert len(chosen) == 30
    assert len(AuditPlan(epsilons=(0.1,), corruptions=(2,)).perturbations_for((16, 16))) > 15


@pytest.mark.parametrize("severities", [(0,), (6,), (1, 1)])
def test_corruptions_that_are_no_severities_are_refused(severities):
    with pytest.raises(UserError, match=r"severit|corruptions"):
        AuditPlan(epsilons=(0.1,), corruptions=severities)


@pytest.mark.parametrize(
    "attack", [PGD(steps=3), AutoAttack(), Square(restarts=2), HardLabel(restarts=2), FAB()], ids=lambda a: str(a)[:12]
)
def test_a_black_box_must_count_its_questions(attack):
    with pytest.raises(UserError, match="without gradients and in one run"):
        AuditPlan(epsilons=(0.1,), black_box=(attack,))
    assert AuditPlan(epsilons=(0.1,), black_box=(Square(queries=9), HardLabel())).black_box


def test_the_widest_stand_beside_attacks_and_count_among_the_searches():
    plan = AuditPlan(epsilons=(0.1, 0.2), widest=(AutoAttack(),))
    assert plan.searches == (*AuditPlan.attacks, AutoAttack())
    for fields in (
        {"attacks": ()},
        {"widest": (PGD(steps=2), PGD(steps=2))},
        {"widest": (PGD(steps=2, keep="last"),)},
        {"widest": (FGSM(),)},
    ):
        with pytest.raises(UserError, match=r"beside attacks|twice|keep='best'|once is enough"):
            AuditPlan(**{"epsilons": (0.1,), "widest": (AutoAttack(),), **fields})


def test_a_norm_carries_the_fields_of_its_threat():
    plan = AuditPlan(epsilons=(0.5, 1.0), norm="patch:share=0.02,row=0.25")
    assert plan.threats == (Patch(0.5, share=0.02, row=0.25), Patch(1.0, share=0.02, row=0.25))
    with pytest.raises(UserError, match="has no field 'shre'"):
        AuditPlan(epsilons=(), attacks=(), norm="patch:shre=0.02")
