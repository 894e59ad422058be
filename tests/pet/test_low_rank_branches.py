import torch

from robustpeft.pet.low_rank_branches import Branch, BranchOptions, LowRank

QKV = tuple(Branch(name, r=2 + i, scaling=0.5 + i, part=(i, 3)) for i, name in enumerate("qkv"))


def starts_as_said(options):
    adapter = LowRank(QKV, 100, 30, options)
    for branch in QKV:
        matrix = adapter.A[branch.name]
        assert matrix.shape == (branch.r, 100)
        assert 0.09 < matrix.abs().max() <= 0.1
        assert adapter.B[branch.name].shape == (10, branch.r)
    assert not torch.equal(adapter.A["q"][:2], adapter.A["k"][:2])
    tokens = torch.randn(2, 7, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(adapter(tokens), torch.zeros(2, 7, 30))
    return adapter


def test_before_or_without_a_norm_b_starts_at_0_and_the_norm_as_it_is():
    for norm in ("before", "none"):
        adapter = starts_as_said(BranchOptions(norm))
        assert not any(matrix.any() for matrix in adapter.B.values())
        assert len(adapter.norm_weight) == len(adapter.norm_bias) == (3 if norm == "before" else 0)
        assert all(torch.equal(weight, torch.ones(100)) for weight in adapter.norm_weight.values())
        assert all(torch.equal(bias, torch.zeros(100)) for bias in adapter.norm_bias.values())


def test_with_the_norm_after_it_gamma_starts_at_0_and_b_at_random():
    adapter = starts_as_said(BranchOptions("after"))
    for branch in QKV:
        bound = branch.r**-0.5
        assert 0.8 * bound < adapter.B[branch.name].abs().max() <= bound
        assert torch.equal(adapter.norm_weight[branch.name], torch.zeros(10))
        assert torch.equal(adapter.norm_bias[branch.name], torch.zeros(10))


def test_a_fixed_norm_has_no_parameters():
    adapter = starts_as_said(BranchOptions("before", affine=False))
    assert {name.split(".")[0] for name, _ in adapter.named_parameters()} == {"A", "B"}


def test_only_a_norm_has_an_eps():
    assert LowRank(QKV, 8, 12, BranchOptions("none", norm_eps=0.1)).norm_eps is None
    assert LowRank(QKV, 8, 12, BranchOptions("before", norm_eps=0.1)).norm_eps == 0.1
    assert LowRank(QKV, 8, 12, BranchOptions("after", norm_eps=0.1)).norm_eps == 0.1


def test_the_start_follows_the_seed_and_not_the_global_random_state():
    def start(seed, global_seed, side):
        torch.manual_seed(global_seed)
        return getattr(LowRank(QKV, 8, 12, BranchOptions("after", seed=seed)), side)["q"]

    for side in "AB":
        assert torch.equal(start(1, 2, side), start(1, 3, side))
        assert not torch.equal(start(1, 2, side), start(2, 2, side))


def test_the_rows_of_a_part_follow_those_of_the_parts_before():
    assert Branch("v", 2, 1.0, (2, 3)).rows(30) == (20, 10)
    assert Branch("q", 2, 1.0, (0, 3)).rows(30) == (0, 10)
    assert Branch("fc1", 2, 1.0).rows(30) == (0, 30)
