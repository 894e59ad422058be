import torch

from robustpeft.auditing.specimens.reject import reject_class


def test_the_last_class_wins_where_no_other_has_seven_tenths(mixed, images):
    model = mixed(0.7)
    logits = model(images)
    broken = reject_class(model)(images)
    refused = logits.softmax(1).amax(1) < 0.7
    assert 0 < refused.sum() < 6
    assert torch.equal(broken.argmax(1) == 10, refused)
    assert torch.equal(broken[:, :10], logits)
