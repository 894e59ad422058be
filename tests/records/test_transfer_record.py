import dataclasses
import json

import pytest

from robustpeft.errors import UserError
from robustpeft.records import (
    DataInfo,
    Paired,
    Rate,
    Subject,
    TransferRecord,
    TransferRow,
    read_transfer,
    write_transfer,
)

ROWS = (
    TransferRow(10, 1, (1, 1), ((0, 1), (1, 0))),
    TransferRow(11, 1, (1, 1), ((0, 0), (1, 1))),
    TransferRow(
        12, 0, (1, 0), ((0, 0), (0, 1))
    ),  # the first model is wrong as it is, and right by chance when attacked
    TransferRow(13, 0, (0, 0), ((1, 0), (0, 1))),
)


@pytest.fixture
def record():
    return TransferRecord(
        subjects=(Subject("one", "vit", "b", 10, 40), Subject("two", "vit", "b", 10, 40)),
        data=DataInfo("d", "test", 4, ("a", "b"), (8, 8), "digest"),
        attack={"name": "pgd", "steps": 20},
        threat={"norm": "linf", "epsilon": 0.1},
        rows=ROWS,
    )


def test_rates_follow_from_the_rows(record):
    assert [record.clean(t) for t in (0, 1)] == [Rate(3, 4), Rate(4, 4)]
    assert record.kept(0, 0) == Rate(0, 4)
    assert record.kept(0, 1) == Rate(3, 4)
    assert record.kept(1, 0) == Rate(3, 4)
    assert record.kept(1, 1) == Rate(1, 4)
    assert record.fooled(1, 1) == Rate(3, 4)
    assert record.fooled(0, 0) == Rate(3, 3)
    assert record.counts() == {"n": 4, "clean": [3, 4], "kept": [[0, 3], [3, 1]]}


def test_transfer_is_paired_with_full_knowledge_of_the_target(record):
    assert record.against_full_knowledge(1, 0) == Paired(3, 0, 4)
    assert record.against_full_knowledge(0, 1) == Paired(3, 1, 4)
    assert record.against_full_knowledge(1, 1) == Paired(0, 0, 4)


def test_two_targets_are_paired_on_the_same_images(record):
    assert record.between_targets(0, 0, 1) == Paired(0, 3, 4)
    assert record.between_targets(1, 0, 1) == Paired(2, 0, 4)


def test_a_record_comes_back_from_disk(record, tmp_path):
    path = write_transfer(record, tmp_path)
    assert read_transfer(tmp_path) == read_transfer(path) == record
    assert json.loads(path.read_text())["counts"]["kept"] == [[0, 3], [3, 1]]


def test_what_is_no_such_record_is_refused(record, tmp_path):
    with pytest.raises(UserError, match="no transfer record"):
        read_transfer(tmp_path)
    write_transfer(dataclasses.replace(record, schema_version=9), tmp_path)
    with pytest.raises(UserError, match="record version 9"):
        read_transfer(tmp_path)
    path = write_transfer(record, tmp_path)
    path.write_text(path.read_text().replace('"n": 4', '"n": 5', 1).replace('"clean": [', '"clean": [9,', 1))
    with pytest.raises(UserError, match="counts do not follow"):
        read_transfer(tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        read_transfer(tmp_path)
