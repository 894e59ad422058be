import dataclasses

from robustpeft.records import Rate
from robustpeft.report.curves import attack_panels, perturbation_panels


def test_attack_panels_begin_at_the_clean_image_and_follow_the_counts(make_record):
    fgsm, pgd = attack_panels([make_record()])
    assert (fgsm.title, pgd.title, pgd.axis) == ("FGSM, Linf", "PGD, 20 steps, Linf", "epsilon")
    assert pgd.curves[0].points == ((0.0, Rate(39, 40)), (0.05, Rate(30, 40)), (0.1, Rate(20, 40)))


def test_perturbation_panels_name_their_axis_and_know_counts_from_shares(make_record):
    drop, shuffle = perturbation_panels([make_record()])
    assert (drop.title, drop.axis, drop.is_count) == ("Patch drop", "ratio", False)
    assert (shuffle.title, shuffle.axis, shuffle.is_count) == ("Patch shuffle", "grid", True)
    assert shuffle.strengths == (0.0, 2, 4)


def test_a_panels_table_holds_its_points_and_dashes_where_nothing_was_measured(make_record):
    record = make_record("a")
    other = make_record("b")
    other = dataclasses.replace(other, measurements=tuple(m for m in other.measurements if m.key != "patch_drop@0.5"))
    table = perturbation_panels([record, other])[0].table()
    assert [c.title for c in table.columns] == ["Clean", "ratio 0.25", "ratio 0.5"]
    assert [[cell.notes for cell in row.cells] for row in table.rows] == [
        [("39 of 40",), ("37 of 40",), ("33 of 40",)],
        [("39 of 40",), ("37 of 40",), ()],
    ]
