import dataclasses
import json

import pytest

from robustpeft.records import Seal, canonical_digest

SEAL = Seal(
    model="m" * 64,
    data="d" * 64,
    pixels="p" * 64,
    images=40,
    image_size=(16, 16),
    classes=("cat", "h\u00fcnd"),
    seed=0,
    plan={"epsilons": [0.01, 1.0], "attacks": [{"name": "pgd", "steps": 20}]},
    versions={"robustpeft": "0.1.0"},
)
PLAIN = {f.name: getattr(SEAL, f.name) for f in dataclasses.fields(Seal)} | {"digest": ""}


def test_the_digest_is_what_it_always_was():
    """The canonical form is part of the format: were it to change, no seal that was published would fit any more."""
    assert canonical_digest({"b": 1.0, "a": [None, True, "\u00fc", 0.1]}) == (
        "1d8c6bf1515a9add6a22c661bd1c29b99aa04013ee141ff7a2ae547adfcf7f04"
    )


def test_a_seal_survives_json_with_its_digest():
    plain = json.loads(json.dumps(dataclasses.asdict(SEAL)))
    read = Seal(**{**plain, "image_size": tuple(plain["image_size"]), "classes": tuple(plain["classes"])})
    assert read == SEAL
    assert read.computed() == read.digest == SEAL.digest


def test_equal_values_have_one_digest():
    same = {"attacks": [{"steps": 20, "name": "pgd"}], "epsilons": (0.01, 1)}
    assert Seal(**(PLAIN | {"plan": same, "image_size": [16, 16]})).digest == SEAL.digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "n" * 64),
        ("data", "e" * 64),
        ("pixels", "q" * 64),
        ("images", 41),
        ("image_size", (16, 17)),
        ("classes", ("h\u00fcnd", "cat")),
        ("seed", 1),
        ("plan", {"epsilons": [0.01, 1.0], "attacks": [{"name": "pgd", "steps": 21}]}),
        ("versions", {"robustpeft": "0.1.1"}),
    ],
)
def test_every_field_is_sealed(field, value):
    assert Seal(**(PLAIN | {field: value})).digest != SEAL.digest
    assert dataclasses.replace(SEAL, **{field: value}).computed() != SEAL.digest


def test_a_digest_that_was_given_is_kept():
    changed = dataclasses.replace(SEAL, seed=1)
    assert changed.digest == SEAL.digest != changed.computed()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_write_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_digest({"a": value})
