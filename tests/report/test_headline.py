import dataclasses

from robustpeft.records import Check
from robustpeft.report.headline import headline, publishable


def check(verdict, group, title="Logits are logits", evidence="seen", key="key"):
    return Check(key, title, verdict, evidence, "do", group)


PASSED = check("pass", "integrity")
NUMBER = "37.5 % (24.2 to 53.0), 15 of 40"


def test_a_number_that_nothing_speaks_against_is_given(make_record):
    said = headline(make_record(checks=(PASSED, check("warn", "model"), check("not_applicable", "strength"))))
    assert said.kind == "measured"
    assert said.sentence == (
        f"FullLoRA: robust accuracy at Linf 0.1 is {NUMBER}; 2 checks were made, none failed, 1 in doubt."
    )


def test_a_failure_of_strength_or_model_makes_it_an_upper_bound(make_record):
    for group in ("model", "strength"):
        said = headline(make_record(checks=(PASSED, check("fail", group))))
        assert said.kind == "upper_bound"
        assert said.sentence == (
            f"FullLoRA: robust accuracy at Linf 0.1 is at most {NUMBER}, and probably lower. "
            "It does not hold that logits are logits: seen."
        )


def test_where_nothing_holds_nothing_can_be_lower(make_record):
    record = make_record(pgd=frozenset(range(40)), checks=(PASSED, check("fail", "strength")))
    said = headline(record)
    assert said.kind == "measured"
    assert said.sentence == (
        "FullLoRA: robust accuracy at Linf 0.1 is 0.0 % (0.0 to 8.8), 0 of 40; nothing is left that a stronger attack "
        "could break. It does not hold that logits are logits: seen."
    )


def test_a_failure_of_integrity_leaves_the_reason_and_no_number(make_record):
    failures = (check("fail", "strength"), check("fail", "integrity", "Images lie in [0, 1]", "0 to 255."))
    said = headline(make_record(checks=failures))
    assert said.kind == "refused"
    assert said.sentence == ("FullLoRA: no number is given. It does not hold that images lie in [0, 1]: 0 to 255.")


def test_many_failures_are_counted_after_the_third(make_record):
    checks = tuple(check("fail", "strength", key=str(i)) for i in range(5))
    assert headline(make_record(checks=checks)).sentence.endswith("2 more checks failed.")
    assert headline(make_record(checks=checks[:4])).sentence.endswith("1 more check failed.")
    assert "more check" not in headline(make_record(checks=checks[:3])).sentence


def test_statistics_in_doubt_change_no_kind(make_record):
    assert headline(make_record(checks=(check("fail", "statistics"),))).kind == "measured"


def test_without_checks_or_attacks_it_says_so(make_record):
    said = headline(make_record())
    assert (said.kind, said.sentence.endswith("nothing was done to doubt this number.")) == ("unchecked", True)
    record = make_record(checks=(PASSED,))
    clean = dataclasses.replace(record, measurements=tuple(m for m in record.measurements if m.kind != "attack"))
    assert headline(clean).kind == "clean"
    assert "39 of 40" in headline(clean).sentence


def test_only_refused_records_may_not_be_shown(make_record):
    shown = make_record("shown", checks=(check("fail", "strength"),))
    refused = make_record("refused", checks=(check("fail", "integrity"),))
    assert publishable([shown, refused]) == (shown,)


def by_queries(record, **about):
    attacks = [
        dataclasses.replace(m, **{"settings": {"queries": 9}, "backwards": 0, **about}) for m in record.of("attack")
    ]
    others = [m for m in record.measurements if m.kind != "attack"]
    return dataclasses.replace(record, measurements=(*others, *attacks))


def test_what_was_attacked_by_queries_alone_has_an_upper_bound(make_record):
    said = headline(by_queries(make_record(checks=(PASSED,))))
    assert said.kind == "upper_bound"
    assert said.sentence == (
        f"FullLoRA: robust accuracy at Linf 0.1 is at most {NUMBER}, for it was attacked by queries alone; "
        "1 checks were made, none failed."
    )
    assert headline(by_queries(make_record(checks=(PASSED,)), backwards=3)).kind == "measured"
