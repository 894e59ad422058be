import json
import math

import pytest

from robustpeft.records import SCHEMA_VERSION, AuditRecord, DataInfo, Measurement, Rate, Subject


def measured(key, kind, name, count, strength=None, per_class=()):
    return Measurement(key, kind, name, Rate(count, 10), per_class, strength=strength)


CLEAN = measured("clean", "clean", "clean", 9)
PGD_1 = measured("pgd@linf:0.1", "attack", "pgd", 5, 0.1)
PGD_2 = measured("pgd@linf:0.2", "attack", "pgd", 2, 0.2)
FGSM_2 = measured("fgsm@linf:0.2", "attack", "fgsm", 4, 0.2)
FGSM_0 = measured("fgsm@linf:0", "attack", "fgsm", 1, 0.0)
DROP = measured("patch_drop@0.3", "perturbation", "patch_drop", 7, 0.3)


def record(*measurements):
    data = DataInfo("digits", "test", 10, ("zero", "one"), (16, 16), "digest")
    return AuditRecord(Subject("FullLoRA", "digits_vit", "digest", 100, 400), data, measurements)


AUDIT = record(PGD_2, CLEAN, DROP, FGSM_0, FGSM_2, PGD_1)


def test_a_measurement_is_found_by_its_key():
    assert AUDIT["pgd@linf:0.1"] is PGD_1


def test_a_key_that_was_not_measured_names_those_that_were():
    with pytest.raises(KeyError, match=r"'apgd' was not measured; there are \['pgd@linf:0\.2', 'clean'"):
        AUDIT["apgd"]


def test_measurements_of_a_kind_come_in_order_of_strength():
    assert AUDIT.of("attack") == (FGSM_0, PGD_1, PGD_2, FGSM_2)
    assert AUDIT.of("attack", "fgsm") == (FGSM_0, FGSM_2)
    assert AUDIT.of("perturbation", "pixel_drop") == ()
    assert AUDIT.of("clean") == (CLEAN,)


def test_the_worst_attack_is_the_strongest_at_the_largest_epsilon():
    assert AUDIT.worst_attack is PGD_2
    assert record(FGSM_2, CLEAN).worst_attack is FGSM_2
    assert record(CLEAN, DROP).worst_attack is None


def test_macro_accuracy_is_the_mean_over_the_classes_that_occur():
    uneven = measured("clean", "clean", "clean", 9, per_class=(Rate(8, 8), Rate(1, 2), Rate(0, 0)))
    assert uneven.macro_accuracy == pytest.approx((1.0 + 0.5) / 2)
    assert math.isnan(CLEAN.macro_accuracy)


def test_the_plain_form_is_what_json_takes():
    plain = AUDIT.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["measurements"][1]["correct"] == {"count": 9, "n": 10}
    assert plain["schema_version"] == SCHEMA_VERSION == 3
