import dataclasses

from robustpeft.report.limits import limits


def test_gradient_attacks_are_called_an_upper_bound(make_record):
    text = " ".join(limits([make_record()]))
    assert "Only FGSM and PGD searched" in text
    assert "upper bound" in text
    assert "radii beyond Linf 0.1" in text


def test_an_audit_without_attacks_claims_nothing_about_an_adversary(make_record):
    record = make_record()
    text = " ".join(limits([dataclasses.replace(record, measurements=(record["clean"],))]))
    assert "No attack was tried" in text
    assert "Perturbations" not in text


def test_a_radius_beyond_training_and_a_validation_split_are_named(make_record):
    subject = dataclasses.replace(make_record().subject, trained_threat={"norm": "linf", "epsilon": 0.05})
    text = " ".join(limits([make_record(subject=subject, data={"split": "validation", "note": "A copy."})]))
    assert "tuned for Linf 0.05 and is shown against Linf 0.1" in text
    assert "numbers are too kind" in text
    assert text.endswith("A copy.")
