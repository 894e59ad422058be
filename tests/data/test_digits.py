import torch

from robustpeft.data import load_data
from robustpeft.data.digits import _read

DATA = load_data("digits")


def test_the_split_is_the_one_the_bundled_vit_was_trained_on():
    assert {name: len(split) for name, split in DATA.splits.items()} == {"train": 1079, "validation": 359, "test": 359}
    # These never change: the bundled weights have seen exactly this training split.
    assert DATA.train.digest[:16] == "cfbb2f12ae462776"
    assert DATA.validation.digest[:16] == "654b8329930fe84c"
    assert DATA.test.digest[:16] == "ce979ff1e09d520e"


def test_no_image_is_in_two_splits():
    ids = torch.cat([split.ids for split in DATA.splits.values()])
    assert len(ids.unique()) == len(ids) == 1797


def test_every_class_has_its_share_in_every_split():
    for split, share in ((DATA.train, 0.6), (DATA.validation, 0.2), (DATA.test, 0.2)):
        whole = sum(s.labels.bincount() for s in DATA.splits.values())
        assert bool(((split.labels.bincount() - share * whole).abs() <= 1).all())


def test_ids_do_not_depend_on_the_size():
    large = load_data("digits", image_size=24)
    assert large.image_size == (24, 24)
    assert torch.equal(large.test.ids, DATA.test.ids)
    assert torch.equal(large.test.labels, DATA.test.labels)


def test_images_are_grey_and_use_the_whole_range():
    assert DATA.image_size == (16, 16)
    images = DATA.train.store.read(DATA.train.rows)
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    assert int(images.min()) == 0
    assert int(images.max()) == 255


def test_at_their_own_size_the_pixels_are_the_counts():
    from sklearn.datasets import load_digits

    small = load_data("digits", image_size=8)
    counts = torch.from_numpy(load_digits().images)
    row = int(small.test.rows[3])
    assert torch.equal(small.test[3][0].double(), (counts[row] / 16 * 255).round())


def test_digits_are_not_mirrored():
    assert not DATA.default_augment.flip


def test_the_file_is_read_as_scikit_learn_reads_it(monkeypatch):
    counts, labels = _read()
    monkeypatch.setattr("robustpeft.data.digits.Path.is_file", lambda self: False)  # as if it were kept elsewhere
    asked_counts, asked_labels = _read()
    assert torch.equal(counts, asked_counts)
    assert torch.equal(labels, asked_labels)
    assert counts.shape == (1797, 8, 8)
