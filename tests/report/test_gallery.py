import dataclasses

from robustpeft.records import GalleryItem
from robustpeft.report.gallery import gallery


def moved(item: GalleryItem, **fields) -> GalleryItem:
    return dataclasses.replace(item, **fields)


def test_the_same_photograph_of_two_records_shares_a_row(make_record):
    first = make_record("a")
    (item,) = first.gallery
    second = make_record("b", gallery=(moved(item, id=8, label=0), moved(item, adversarial_prediction=3)))
    shown = gallery([first, second]).rows
    assert [row.title for row in shown] == ["three", "zero"]
    assert [p.after for p in shown[0].portraits] == ["zero", "three"]
    assert [p.is_right for p in shown[0].portraits] == [False, True]
    assert shown[1].portraits[0] is None


def test_rows_that_would_make_the_page_large_are_counted_instead(make_record):
    (item,) = make_record().gallery
    record = make_record(gallery=tuple(moved(item, id=i) for i in range(5)))
    one = len(item.original_png) + len(item.adversarial_png) + len(item.difference_png)
    shown = gallery([record], room=2 * one + 1)
    assert (len(shown.rows), shown.left_out) == (2, 3)


def test_small_images_keep_their_pixels_square(make_record):
    (item,) = make_record().gallery
    assert gallery([make_record()]).rows[0].is_tiny
    assert gallery([make_record(gallery=(moved(item, original_png="x"),))]).rows[0].is_tiny


def test_confidences_and_labels_without_a_name_are_words(make_record):
    (item,) = make_record().gallery
    (portrait,) = gallery([make_record(gallery=(moved(item, adversarial_prediction=9),))]).rows[0].portraits
    assert (portrait.before_confidence, portrait.after) == ("98.8", "class 9")
