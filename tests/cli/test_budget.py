from robustpeft.cli.budget import budget_rows
from robustpeft.pet import METHODS


def test_there_is_a_row_for_every_method_and_what_is_too_large_in_any_size_says_so() -> None:
    rows = {row.name: row for row in budget_rows("digits_vit", 5_000)}
    assert list(rows) == list(METHODS)
    assert (rows["lora"].size, rows["lora"].parameters) == ("r=4", 4_096)
    assert rows["lora"].share == 4_096 / 204_352
    assert rows["lnlora"].size == "LNLoRA with r = 1 has 9,216 parameters, more than 5,000"
    assert rows["lnlora"].parameters is None
    assert rows["ssf"].size == "fixed, above the budget"
    assert rows["peft"].size == rows["combined"].size == "depends on its fields"


def test_what_the_network_cannot_carry_is_said_in_the_cell() -> None:
    rows = {row.name: row for row in budget_rows("convit_tiny", 200_000)}
    assert rows["lora"].size == "r=21"
    assert "take no sequence of tokens that could hold prompts" in rows["vpt"].size
    assert rows["vpt"].parameters is rows["vpt"].share is None


def test_a_share_is_of_the_backbone_without_its_head() -> None:
    (row,) = (row for row in budget_rows("digits_vit", 1_000_000) if row.name == "full")
    assert (row.size, row.parameters, row.share) == ("fixed", 204_352, 1.0)
