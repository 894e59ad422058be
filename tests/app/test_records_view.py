from robustpeft.app.records_view import RecordsView


def test_numbers_begin_with_the_largest_words_with_a():
    view = RecordsView(column="model", descending=False)
    assert view.after(sort="clean") == RecordsView(column="clean", descending=True)
    assert view.after(sort="data") == RecordsView(column="data", descending=False)


def test_a_second_click_turns_it_round():
    view = RecordsView(column="clean", descending=True)
    assert view.after(sort="clean").descending is False
    assert view.after(sort="clean").after(sort="clean") == view


def test_boxes_keep_the_order_in_which_they_were_clicked():
    view = RecordsView().after(choose="b").after(choose="a")
    assert view.chosen == ("b", "a")
    assert view.after(choose="b").chosen == ("a",)


def test_whatever_else_a_page_sends_changes_nothing():
    view = RecordsView()
    for sent in ({}, {"sort": "path"}, {"sort": 3}, {"choose": ""}, {"choose": ["a"]}):
        assert view.after(**sent) == view


def test_a_filter_is_a_short_text():
    assert RecordsView().filtered("x" * 1000).text == "x" * 200
    assert RecordsView().filtered(None).text == ""
