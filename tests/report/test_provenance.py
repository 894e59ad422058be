from robustpeft.report.provenance import data_facts, provenance


def test_what_is_unknown_is_left_out(make_record):
    names = [name for name, _ in provenance(make_record(created="", environment={})).facts]
    assert "Environment" not in names
    assert "Date" not in names
    assert ("Seed", "17") in provenance(make_record()).facts


def test_many_classes_are_cut_short(make_record):
    facts = dict(data_facts(make_record(data={"classes": tuple(map(str, range(1000)))})))
    assert facts["Classes"].endswith("18, 19, ...")
    assert facts["Data digest"] == "d" * 64
