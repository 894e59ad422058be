import dataclasses

import pytest
import torch

from robustpeft.auditing.checks.case import Keepsake
from robustpeft.auditing.checks.found import adversarial_images, eight_bits
from robustpeft.types import L2, Linf


def verdicts(case):
    return {answer.key: answer for answer in adversarial_images(case)}


def test_what_an_honest_audit_found_stands(make_case):
    found = verdicts(make_case())
    assert found["threat_kept"].verdict == "pass"
    assert found["verified_again"].verdict == "pass"
    assert found["threat_kept"].evidence.startswith("16 images") or int(found["threat_kept"].evidence.split()[0]) > 8


def test_without_attacks_or_breaks_there_is_nothing_to_look_at(make_case, plan):
    case = make_case(plan=dataclasses.replace(plan, attacks=()))
    assert {answer.verdict for answer in adversarial_images(case)} == {"not_applicable"}


def moved(case, factor):
    """Every kept image moved to `factor` times its radius."""
    places = {image: place for place, image in enumerate(case.setting.split.ids.tolist())}
    for (image, attack, threat), point in case.keepsake.points.items():
        (batch,) = case.setting.split.subset(torch.tensor([places[image]])).batches(1)
        start = batch.images[0]
        delta = torch.sign(point - start + 1e-9) * case.plan.threats[threat].epsilon * factor
        case.keepsake.points[image, attack, threat] = start + delta
    return case


def test_an_image_beyond_its_radius_is_noticed(make_case):
    assert verdicts(moved(make_case(), 1 + 1e-6))["threat_kept"].verdict == "pass"
    answer = verdicts(moved(make_case(), 1.001))["threat_kept"]
    assert answer.verdict == "fail"
    assert "exceed linf 0.0" in answer.evidence
    assert verdicts(moved(make_case(), 100))["threat_kept"].verdict == "fail"


def test_an_image_that_breaks_nothing_is_noticed(make_case):
    answer = verdicts(moved(make_case(), 0.0))["verified_again"]
    assert answer.verdict == "fail"
    assert "recognised when asked again" in answer.evidence


def test_images_of_an_earlier_process_are_found_again(make_case):
    case = make_case()
    resumed = dataclasses.replace(case, keepsake=Keepsake(8))
    assert verdicts(resumed)["verified_again"].verdict == "pass"


@pytest.mark.parametrize("threat", [Linf(0.02), L2(0.3)])
def test_rounding_lands_on_the_lattice_and_enlarges_nothing(threat):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 5, 5), generator=generator) / 255
    points = threat.within(images, images + 0.05 * torch.randn(images.shape, generator=generator))
    rounded = eight_bits(images, points)
    assert torch.equal((rounded * 255).round() / 255, rounded)
    before, after = (threat.size(x.double() - images.double()) for x in (points, rounded))
    assert (after <= before + 1e-6).all()
    assert ((rounded - points).abs() < 1.01 / 255).all()
    assert (after > 0).all()


def test_rounding_takes_the_nearest_step_where_it_may():
    images = torch.full((1, 1, 1, 3), 100 / 255)
    points = torch.tensor([100.4, 101.6, 98.9]).reshape(1, 1, 1, 3) / 255
    rounded = eight_bits(images, points) * 255
    assert rounded.round().flatten().tolist() == [100, 101, 99]
