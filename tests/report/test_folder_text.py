from robustpeft.records import FolderRecord, FolderRow, Subject
from robustpeft.report.folder_text import folder_lines

SUBJECT = Subject("LoRA", "vit", "b", 10, 40)


def test_both_results_stand_beside_each_other_with_how_the_images_were_made():
    rows = (FolderRow("a", 0, 0, 1), FolderRow("b", 0, 1, 1), FolderRow("c", 1, 1, 1), FolderRow("d", 1, 1, 1))
    made = {
        "source": {"label": "public"},
        "attack": {"name": "pgd", "steps": 20},
        "threat": {"norm": "linf", "epsilon": 8 / 255},
        "seed": 3,
        "data": {"name": "digits"},
    }
    said = folder_lines(FolderRecord(SUBJECT, "dir", ("zero", "one"), rows, made))
    assert said[0].startswith("LoRA on dir: 75.0 % (")
    assert said[1].startswith("  as float32: 50.0 % (")
    assert said[2] == "  rounding to eight bits makes 1 right that were wrong and 0 wrong that were right"
    assert said[3].startswith("  worst class: zero, 50.0 %")
    assert said[4] == "  made against public by pgd (steps=20) within Linf 8/255, seed 3, from digits"


def test_without_a_manifest_only_the_files_count():
    said = folder_lines(FolderRecord(SUBJECT, "dir", ("zero",), (FolderRow("a", 0, 0),), note="nothing is known"))
    assert len(said) == 2
    assert said[1] == "  note: nothing is known"
