import torch

from robustpeft.study.targets.probes import Trial, beats, best_order, order_of, try_orders


def test_orders_say_which_output_each_class_is():
    names = ("a1", "a2", "a10")
    nothing = torch.zeros(0, dtype=torch.int64)
    assert order_of("data", names, nothing, nothing) == [0, 1, 2]
    assert order_of("lexicographic", names, nothing, nothing) == [0, 2, 1]
    assert order_of("natural", ("a10", "a2"), nothing, nothing) == [1, 0]


def test_a_fitted_order_is_the_permutation_that_was_applied():
    labels = torch.arange(5).repeat(4)
    hidden = torch.tensor([3, 0, 4, 1, 2])
    assert order_of("fitted", list("abcde"), hidden[labels], labels) == hidden.tolist()


def test_a_class_that_was_not_met_stays_where_it_is():
    labels = torch.tensor([0, 0, 1, 1])
    assert order_of("fitted", list("abcd"), torch.tensor([1, 1, 0, 0]), labels) == [1, 0, 2, 3]


def test_chance_does_not_flatter_a_fitted_order():
    chance = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat(20)
    predicted = torch.randint(0, 10, (200,), generator=chance)
    trials = try_orders([str(i) for i in range(10)], predicted, labels)
    assert best_order(trials).name == "data"
    assert trials["fitted"].count < 50  # 20 by guessing; fitted and counted on the same images it would be about 50


def test_one_beats_another_by_mcnemar():
    one, other = (torch.zeros(100, dtype=torch.bool) for _ in range(2))
    one[:4] = True
    assert beats(Trial("one", one), Trial("other", other))  # 4 to 0: exactly 2 deviations
    other[50] = True
    assert not beats(Trial("one", one), Trial("other", other))
    assert not beats(Trial("same", one), Trial("one", one))
