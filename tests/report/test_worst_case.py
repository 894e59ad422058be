import dataclasses

from hypothesis import HealthCheck, given, settings, strategies as st

from robustpeft.records import Rate
from robustpeft.report.worst_case import MainThreat, attacks_at, main_threats, withstood, worst_case

MAIN = MainThreat("linf", 0.1)
IMAGES = st.sets(st.integers(0, 39))


def without(record, key):
    return dataclasses.replace(record, measurements=tuple(m for m in record.measurements if m.key != key))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(clean=IMAGES, fgsm=IMAGES, pgd=IMAGES)
def test_an_image_withstands_only_what_no_attack_turned(make_record, clean, fgsm, pgd):
    record = make_record(clean=clean, fgsm=fgsm, pgd=pgd)
    case = worst_case(record, MAIN)
    assert withstood(record, MAIN) == set(range(40)) - clean - fgsm - pgd
    assert case.correct == Rate(40 - len(clean | fgsm | pgd), 40)
    assert case.wins == Rate(len((fgsm | pgd) - clean), 40 - len(clean))


def test_a_smaller_ball_lies_inside_but_a_larger_one_does_not(make_record):
    record = make_record(clean=set(), fgsm={0, 1}, pgd={2, 3})
    assert worst_case(record, MainThreat("linf", 0.05)).correct == Rate(38, 40)
    assert worst_case(record, MainThreat("l2", 0.1)) is None


def test_without_rows_the_strongest_single_attack_stands_in(make_record):
    case = worst_case(make_record(fgsm=set(range(10)), pgd=set(range(5, 25)), rows=()), MAIN)
    assert case.correct == Rate(20, 40)
    assert case.wins is None


def test_the_main_threat_is_the_largest_that_all_records_share(make_record):
    record = make_record()
    assert main_threats([record]) == (MAIN,)
    poorer = without(without(record, "pgd@linf:0.1"), "fgsm@linf:0.1")
    assert main_threats([record, poorer]) == (MainThreat("linf", 0.05),)
    assert main_threats([record, dataclasses.replace(record, measurements=(record["clean"],))]) == ()
    assert [m.key for m in attacks_at(record, MAIN)] == ["fgsm@linf:0.1", "pgd@linf:0.1"]
