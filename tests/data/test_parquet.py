import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustpeft.data import Parquet, load_data
from robustpeft.errors import UserError

NAMES = {b"classes": b"cat\ndog"}


@pytest.fixture
def write(tmp_path, encoded):
    def write_file(name, seeds, labels=None, metadata=NAMES, **columns):
        table = {
            "image": pa.array([encoded(s) for s in seeds]),
            "label": pa.array([s % 2 for s in seeds] if labels is None else labels),
        } | columns
        path = tmp_path / name
        pq.write_table(pa.table(table).replace_schema_metadata(metadata), path)
        return str(path)

    return write_file


def by_id(data):
    return {
        int(s.ids[i]): (s[i].flatten().tolist(), int(s.labels[i])) for s in data.splits.values() for i in range(len(s))
    }


def test_one_file_becomes_three_splits(write):
    data = load_data(write("all.parquet", range(20)))
    assert data.classes == ("cat", "dog")
    assert [len(s) for s in data.splits.values()] == [12, 4, 4]
    assert data.name == "all"


def test_pixels_and_labels_belong_together(write, make_picture):
    data = load_data(write("all.parquet", range(20)))
    for split in data.splits.values():
        for i in range(len(split)):
            seed = int(split.name(i).rpartition(" ")[2])
            assert split[i].permute(1, 2, 0).numpy().tobytes() == make_picture(seed).tobytes()
            assert int(split.labels[i]) == seed % 2


def test_files_that_are_given_for_a_split_stay_that_split(write):
    train, test = write("train.parquet", range(20)), write("test.parquet", range(50, 56))
    data = Parquet(train, test=test).load(image_size=8)
    assert [len(s) for s in data.splits.values()] == [16, 4, 6]
    assert data.image_size == (8, 8)
    assert {data.test.name(i) for i in range(6)} == {f"test.parquet, row {i}" for i in range(6)}


def test_ids_and_splits_do_not_depend_on_the_sharding(write, tmp_path):
    whole = load_data(write("whole.parquet", range(20)))
    write("shard-0.parquet", range(12, 20))
    write("shard-1.parquet", range(12))
    shards = load_data(str(tmp_path / "shard-*.parquet"))
    assert by_id(shards) == by_id(whole)
    assert set(shards.test.ids.tolist()) == set(whole.test.ids.tolist())
    listed = load_data([tmp_path / "shard-0.parquet", tmp_path / "shard-1.parquet"])
    assert listed.train.digest == shards.train.digest


def test_only_a_test_split_is_enough_to_judge(write):
    data = Parquet(test=write("test.parquet", range(6))).load()
    assert [len(s) for s in data.splits.values()] == [0, 0, 6]


def test_the_layout_of_hugging_face_is_read(tmp_path, encoded):
    features = {"image": {"_type": "Image"}, "label": {"names": ["x", "y"], "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": pa.array([{"bytes": encoded(i), "path": f"{i}.png"} for i in range(12)]),
            "label": pa.array([i % 2 for i in range(12)]),
        }
    ).replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    pq.write_table(table, tmp_path / "hf.parquet")
    assert load_data(tmp_path / "hf.parquet").classes == ("x", "y")


def test_classes_without_names_are_called_by_their_numbers(write):
    data = load_data(write("a.parquet", range(12), metadata=None))
    assert data.classes == ("0", "1")
    assert "no class names" in data.note
    assert Parquet(write("b.parquet", range(12), metadata=None), classes=("p", "q")).load().classes == ("p", "q")


def test_columns_may_have_other_names(write, encoded):
    path = write("a.parquet", range(12), fine=pa.array([i % 3 for i in range(12)]))
    data = Parquet(path, columns=("image", "fine"), classes=("a", "b")).load
    with pytest.raises(UserError, match=r"found 0 to 2, as there are 2 class names"):
        data()


def test_copies_across_splits_are_warned_of(write):
    data = Parquet(write("train.parquet", range(20)), test=write("test.parquet", [3, 90, 91])).load()
    assert any("exact copy" in w and "test.parquet, row 0" in w for w in data.warnings)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": pa.array(["cat"] * 12)}, "must hold class numbers as integers; it holds string"),
        ({"label": pa.array([0.0] * 12)}, "must hold class numbers as integers"),
        ({"label": pa.array([None] + [0] * 11)}, "1 of 12 rows have no label"),
        ({"label": pa.array([-1] + [0] * 11)}, "labels must be at least 0; found -1"),
        ({"label": pa.array([2] * 12)}, "found 2 to 2, as there are 2 class names"),
        ({"image": pa.array(["a.png"] * 12)}, "must hold encoded images as bytes; it holds string"),
        ({"image": pa.array([None] + [b"x"] * 11)}, "1 of 12 rows have no image bytes"),
        ({"image": pa.array([{"path": "a"}] * 12)}, "has no field 'bytes'"),
        ({"image": pa.array([b"torn"] * 12)}, "12 of 12 images cannot be read: a.parquet, row 0"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(write, columns, message):
    path = write("a.parquet", range(12), **columns)
    with pytest.raises(UserError, match=message):
        load_data(path)


def test_a_missing_column_is_answered_with_the_nearest_one(write):
    with pytest.raises(UserError, match="no column 'labels'; did you mean 'label'"):
        Parquet(write("a.parquet", range(12)), columns=("image", "labels")).load()


def test_class_names_that_disagree_are_refused(write):
    one, other = write("a.parquet", range(12)), write("b.parquet", range(12), metadata={b"classes": b"dog\ncat"})
    with pytest.raises(UserError, match="different class names"):
        Parquet(one, test=other).load()
    with pytest.raises(UserError, match="different class names"):
        Parquet((one, other)).load()
    with pytest.raises(UserError, match="3 class names were given, but the files name 2"):
        Parquet(one, classes=("a", "b", "c")).load()


def test_files_that_cannot_be_read_are_refused(tmp_path, write):
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        load_data(tmp_path / "text.parquet")
    with pytest.raises(UserError, match="no Parquet file at"):
        load_data(str(tmp_path / "none-*.parquet"))
    with pytest.raises(UserError, match="has no rows"):
        load_data(write("empty.parquet", [], image=pa.array([], pa.binary()), label=pa.array([], pa.int64())))
    with pytest.raises(UserError, match="at least one of train"):
        Parquet().load()


def test_broken_images_can_be_left_out(write, encoded):
    images = [encoded(i) if i != 4 else b"torn" for i in range(20)]
    data = Parquet(write("a.parquet", range(20), image=pa.array(images)), skip_broken=True).load()
    assert sum(map(len, data.splits.values())) == 19
    assert any("a.parquet, row 4" in w for w in data.warnings)
    assert torch.cat([s.labels for s in data.splits.values()]).bincount().tolist() == [9, 10]
