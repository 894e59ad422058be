from robustpeft.records import Check
from robustpeft.report import render_html, render_markdown, terminal_headlines, terminal_table
from robustpeft.report.trust import trust

CHECKS = (
    Check("a", "Images lie in [0, 1]", "pass", "0 to 1", "", "integrity"),
    Check("b", "Twice the steps break no more", "pass", "0 of 5", "", "strength"),
    Check("c", "Random <noise> breaks nothing", "fail", "3 of 5 | 4", "Look <closer>.", "strength"),
    Check("d", "Another start breaks no more", "warn", "1 of 5", "More.", "strength"),
    Check("e", "The adapter is active", "not_applicable", "none", "", "integrity"),
)
REFUSED = (Check("a", "Images lie in [0, 1]", "fail", "0 to 255.", "Divide.", "integrity"),)


def test_checks_stand_in_groups_the_worst_first(make_record):
    shown = trust(make_record(checks=CHECKS))
    assert shown.summary == "Of 5 checks 2 hold, 1 is in doubt, 1 fails, 1 was not asked."
    assert [section.heading for section in shown.sections] == [
        "Is it what it is said to be?",
        "Did the attacks go far enough?",
    ]
    assert [a.verdict for a in shown.sections[1].answers] == ["fails", "in doubt", "holds"]
    assert [a.style for a in shown.sections[0].answers] == ["pass", "not_applicable"]


def test_no_checks_are_said_to_be_none(make_record):
    assert trust(make_record()).summary == "No checks were made."


def test_page_and_markdown_show_every_check_escaped(make_record):
    record = make_record(checks=CHECKS)
    page, text = render_html([record]), render_markdown([record])
    for shown in (page, text):
        assert "Why it may be believed" in shown
        assert "at most 37.5 %" in shown
        assert "<noise>" not in shown
        assert "&lt;noise" in shown
    assert "| fails | Random &lt;noise> breaks nothing | 3 of 5 \\| 4 Look &lt;closer>. |" in text


def test_a_refused_record_shows_its_reason_and_no_number(make_record):
    record = make_record(checks=REFUSED)
    for shown in (render_html([record]), render_markdown([record])):
        assert "no number is given" in shown
        assert "15 of 40" not in shown
        assert "37.5" not in shown
        assert "What was trained" not in shown
    assert terminal_table([record]).row_count == 0


def test_beside_a_refused_record_the_others_are_shown(make_record):
    good, bad = make_record("good", checks=CHECKS), make_record("bad", checks=REFUSED, pgd=frozenset(range(30)))
    text = render_markdown([good, bad])
    assert "15 of 40" in text
    assert "10 of 40" not in text
    assert terminal_table([good, bad]).row_count == 1
    said = [line.plain for line in terminal_headlines([good, bad])]
    assert said[0].startswith("good: robust accuracy at Linf 0.1 is at most")
    assert said[1].startswith("bad: no number is given")
