import torch
from torch import nn

from robustpeft.auditing.specimens.classes import classes_permuted, classes_sorted_as_words


def test_words_put_ten_before_two():
    logits = torch.arange(12.0)[None]
    assert classes_sorted_as_words(nn.Identity())(logits)[0].tolist() == [0, 9, 10, 11, 1, 2, 3, 4, 5, 6, 7, 8]
    assert torch.equal(classes_sorted_as_words(nn.Identity())(logits[:, :9]), logits[:, :9])


def test_a_permutation_leaves_nothing_in_its_place_and_loses_nothing():
    for k in (2, 3, 10, 100):
        logits = torch.arange(float(k))[None]
        moved = classes_permuted(nn.Identity())(logits)
        assert sorted(moved[0].tolist()) == logits[0].tolist()
        assert (moved != logits).all()
        assert torch.equal(moved, classes_permuted(nn.Identity())(logits))
