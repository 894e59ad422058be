import pytest
from rich.console import Console

from robustpeft.records.verification import Finding, Verification
from robustpeft.report.verification import verification_sentence, verification_table


def show(thing):
    console = Console(width=200, record=True, force_terminal=False)
    console.print(thing)
    return console.export_text()


def made(*outcomes):
    findings = (Finding(f"pgd[{i}]", outcome, "at most 3 of 9 correct") for i, outcome in enumerate(outcomes))
    return Verification("LoRA [bold](first)", tuple(findings))


def test_every_claim_has_a_line_and_markup_stays_text():
    text = show(verification_table(made("confirmed", "refuted", "unchecked")))
    assert "LoRA [bold](first)" in text
    for place, word in enumerate(("confirmed", "refuted", "not checked")):
        (line,) = (line for line in text.splitlines() if f"pgd[{place}]" in line)
        assert word in line
        assert "at most 3 of 9 correct" in line


def test_the_first_images_that_speak_against_it_are_named():
    finding = Finding("clean", "refuted", "8 differ", tuple(range(11, 19)))
    text = show(verification_table(Verification("LoRA", (finding,))))
    assert "8 differ (images 11, 12, 13, 14, 15, ...)" in text


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (("confirmed", "confirmed"), "Confirmed: all 2 claims hold. The counts under attack are upper bounds"),
        (("confirmed", "refuted", "unchecked"), "Refuted: 1 of 3 claims do not hold."),
        (("confirmed", "unchecked"), "Not checked in full: 1 of 2 claims are confirmed, none is refuted, 1 could not"),
    ],
)
def test_the_sentence_says_what_all_come_to(outcomes, said):
    assert said in show(verification_sentence(made(*outcomes)))
