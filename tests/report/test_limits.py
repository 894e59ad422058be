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


def test_images_that_came_from_siblings_are_told_from_those_that_were_searched_for(make_record):
    record = make_record("LoRA")
    key, source = "sibling@linf:0.1", "FullLoRA (0123456789ab)"
    sibling = dataclasses.replace(record["pgd@linf:0.1"], key=key, name="sibling", settings={}, borrowed={source: 3})
    rows = tuple(
        dataclasses.replace(r, predictions=r.predictions | {key: r.predictions["pgd@linf:0.1"]}) for r in record.rows
    )
    record = dataclasses.replace(record, measurements=(*record.measurements, sibling), rows=rows)
    said = limits([record])
    assert any("they broke 3 (3 of FullLoRA (0123456789ab)). On these no search was begun" in s for s in said)
    assert "Only FGSM and PGD searched" in said[0]
    nothing = dataclasses.replace(sibling, borrowed={})
    record = dataclasses.replace(record, measurements=(*record.measurements[:-1], nothing))
    assert any(s.endswith("were tried on it; none broke it.") for s in limits([record]))
