from robustpeft.auditing.checks import Question

QUESTION = Question("key", "Title", "model", "Do this.")


def test_answers_carry_the_question_and_a_remedy_only_where_one_is_needed():
    answers = [QUESTION.passes("a"), QUESTION.warns("b"), QUESTION.fails("c"), QUESTION.skips("d")]
    assert [a.verdict for a in answers] == ["pass", "warn", "fail", "not_applicable"]
    assert [a.evidence for a in answers] == ["a", "b", "c", "d"]
    assert [a.remedy for a in answers] == ["", "Do this.", "Do this.", ""]
    assert {(a.key, a.title, a.group) for a in answers} == {("key", "Title", "model")}
