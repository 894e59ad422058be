import dataclasses
import json

import pytest

from robustpeft.errors import UserError
from robustpeft.records import Check, Measurement, Rate
from robustpeft.report import write_robustbench
from robustpeft.report.robustbench import robustbench_entry

# The fields that the files of RobustBench's model_info have, as its repository holds them.
THEIRS = {
    *("link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture", "eps"),
    *("clean_acc", "reported", "autoattack_acc", "external", "footnote", "unreliable"),
}


def with_autoattack(record, version="standard"):
    """The record with AutoAttack at 0.1, under which the first 15 images stay correct."""
    about = {"settings": {"version": version}, "threat": {"norm": "linf", "epsilon": 0.1}, "strength": 0.1}
    found = Measurement("autoattack@linf:0.1", "attack", "autoattack", Rate(15, 40), (Rate(0, 10),) * 4, **about)
    rows = tuple(
        dataclasses.replace(r, predictions=r.predictions | {found.key: r.label if r.id < 15 else (r.label + 1) % 4})
        for r in record.rows
    )
    return dataclasses.replace(record, measurements=(*record.measurements, found), rows=rows)


def test_the_fields_are_theirs_and_the_numbers_ours(make_record):
    entry = robustbench_entry(make_record(data={"name": "CIFAR10"}))
    assert set(entry.fields) <= THEIRS
    assert entry.place == "cifar10/Linf"
    assert entry.fields["dataset"] == "cifar10"
    assert entry.fields["clean_acc"] == "97.50"  # 39 of 40
    assert entry.fields["reported"] == "37.50"  # wrong: 0 to 9 under FGSM, 5 to 24 under PGD
    assert entry.fields["eps"] == "0.1"
    assert "40 images" in entry.fields["footnote"]
    assert "worst case over FGSM, PGD" in entry.fields["footnote"]
    assert entry.fields["unreliable"] is False
    assert "autoattack_acc" not in entry.fields
    said = " ".join(entry.left_out)
    assert "standard AutoAttack was not run" in said
    assert "RobustBench evaluates 10,000 images; these are 40" in said
    assert "link, authors, venue and additional_data are not known" in said


def test_autoattack_is_given_only_if_it_was_the_standard_one(make_record):
    assert robustbench_entry(with_autoattack(make_record())).fields["autoattack_acc"] == "37.50"
    assert "autoattack_acc" not in robustbench_entry(with_autoattack(make_record(), "rand")).fields


def test_what_is_reported_is_what_nothing_broke_beside_autoattack_too(make_record):
    fields = robustbench_entry(with_autoattack(make_record())).fields
    assert (fields["autoattack_acc"], fields["reported"]) == ("37.50", "0.00")  # what it left, FGSM and PGD turned


def test_a_search_of_which_some_images_were_spared_says_how_many_it_saw(make_record):
    record = make_record()
    about = {"threat": {"norm": "linf", "epsilon": 0.1}, "strength": 0.1}
    found = Measurement("square@linf:0.1", "attack", "square", Rate(3, 8), (Rate(0, 2),) * 4, **about)
    entry = robustbench_entry(dataclasses.replace(record, measurements=(*record.measurements, found)))
    assert "worst case over FGSM, PGD, Square (on 8 images)." in entry.fields["footnote"]


def test_an_epsilon_is_written_as_a_fraction(make_record):
    record = make_record()
    measurements = tuple(
        dataclasses.replace(m, threat={"norm": "linf", "epsilon": 8 / 255}) if m.threat else m
        for m in record.measurements
    )
    assert robustbench_entry(dataclasses.replace(record, measurements=measurements)).fields["eps"] == "8/255"


def test_a_failed_check_makes_it_unreliable_or_forbids_it(make_record):
    weak = Check("strength", "Attacks converged", "fail", "they did not")
    assert robustbench_entry(make_record(checks=(weak,))).fields["unreliable"] is True
    with pytest.raises(UserError, match="no number is given"):
        robustbench_entry(make_record(checks=(dataclasses.replace(weak, group="integrity"),)))


def test_without_an_attack_that_it_knows_there_is_no_entry(make_record):
    record = make_record()
    with pytest.raises(UserError, match="was not attacked in Linf or L2"):
        robustbench_entry(dataclasses.replace(record, measurements=record.measurements[:1]))
    patches = tuple(
        dataclasses.replace(m, threat={"norm": "patch", "epsilon": 0.1}) if m.threat else m for m in record.measurements
    )
    with pytest.raises(UserError, match="was not attacked in Linf or L2"):
        robustbench_entry(dataclasses.replace(record, measurements=patches))


def test_the_file_lies_where_theirs_lie_and_no_name_leads_out(make_record, tmp_path):
    written = write_robustbench(make_record(label="../../x y", data={"name": "../../etc"}), tmp_path)
    assert written.path.resolve().is_relative_to(tmp_path / "robustbench")
    assert json.loads(written.path.read_text()) == written.entry.fields
    assert written.entry.fields["name"] == "../../x y"
