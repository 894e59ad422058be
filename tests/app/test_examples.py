import dataclasses

import torch

from robustpeft.app.examples import examples


def test_examples_are_test_images_with_their_labels(digits):
    found = examples(digits, 0)
    assert len(found) == 12
    by_id = {int(i): place for place, i in enumerate(digits.test.ids)}
    for example in found:
        assert example.label == int(digits.test.labels[by_id[example.id]])
        torch.testing.assert_close(example.image, digits.test[by_id[example.id]].float() / 255)


def test_a_page_is_always_the_same_and_unlike_the_next(digits):
    pages = [[example.id for example in examples(digits, page)] for page in (0, 0, 1)]
    assert pages[0] == pages[1] != pages[2]


def test_a_small_or_empty_split(digits):
    small = dataclasses.replace(digits, test=digits.test.subset(torch.arange(3)))
    assert len(examples(small, 5)) == 3
    assert examples(dataclasses.replace(digits, test=digits.test.subset(torch.arange(0))), 0) == ()
