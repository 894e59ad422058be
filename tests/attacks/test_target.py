import dataclasses

import torch

from robustpeft.attacks import Target
from robustpeft.types import L2, Linf, Noise

HERE = Linf(0.1)


def target(threat=HERE, clean=None, **keys):
    images = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return Target(images, torch.tensor([0, 2, 1]), threat, Noise(5, torch.tensor([7, 8, 9]), "s", **keys), clean)


def test_candidates_come_back_into_ball_and_box():
    for threat in (Linf(0.1), L2(0.3)):
        here = target(threat)
        back = here.within(here.images + 5 * torch.randn(3, 3, 2, 2))
        assert (threat.size(back - here.images) <= threat.epsilon + 1e-6).all()
        assert 0 <= back.min() <= back.max() <= 1


def test_run_and_pass_can_be_one_for_all_or_one_each():
    here = target()
    assert here.runs.tolist() == [0, 0, 0]
    assert here.at(2).runs.tolist() == [2, 2, 2]
    each = here.at((4, 0, 1), (3, 0, 7))
    assert each.runs.tolist() == [4, 0, 1]
    assert each.runs.dtype == torch.int64
    for row, (run, step) in enumerate([(4, 3), (0, 0), (1, 7)]):
        one = here.at(run, step)
        wanted = Noise(5, torch.tensor([7, 8, 9]), "s", restart=run, step=step)
        assert torch.equal(each.noise.bits((5,))[row], wanted.bits((5,))[row])
        assert torch.equal(one.noise.bits((5,)), wanted.bits((5,)))
        assert one.at(run).noise.step == 0


def test_likely_wrong_classes_are_those_of_the_largest_clean_logits_but_for_the_label():
    clean = torch.tensor([[9.0, 1, 3, 2], [1, 4, 9, 8], [5, 5, 5, 5]])
    here = target(clean=clean)
    found = [here.likely_wrong(torch.full((3,), rank)).tolist() for rank in range(3)]
    assert found == [[2, 3, 0], [3, 1, 2], [1, 0, 3]]
    assert here.likely_wrong(torch.tensor([2, 0, 1])).tolist() == [1, 3, 2]


def test_its_rows_are_its_tensors():
    here = target(clean=torch.eye(3))
    taken = here.take(torch.tensor([2]))
    assert list(here.tensors()) == ["images", "labels", "clean"]
    assert taken.labels.tolist() == [1]
    assert torch.equal(taken.images, here.images[2:])
    assert torch.equal(taken.clean, here.clean[2:])
    assert dataclasses.replace(here, clean=None).take(torch.tensor([0])).clean is None
