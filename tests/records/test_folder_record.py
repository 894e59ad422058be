from robustpeft.records import FolderRecord, FolderRow, Paired, Rate, Subject

SUBJECT = Subject("model", "vit", "b", 10, 40)


def test_counts_follow_from_the_rows():
    rows = (FolderRow("a", 0, 0, 1), FolderRow("b", 0, 1, 1), FolderRow("c", 1, 1, 1), FolderRow("d", 1, 0, 1))
    record = FolderRecord(SUBJECT, "here", ("x", "y", "z"), rows)
    assert record.stored == Rate(2, 4)
    assert record.exact == Rate(2, 4)
    assert record.rounding == Paired(1, 1, 4)
    assert record.per_class == (Rate(1, 2), Rate(1, 2), Rate(0, 0))


def test_one_missing_tensor_leaves_no_exact_rate():
    record = FolderRecord(SUBJECT, "here", ("x",), (FolderRow("a", 0, 0, 0), FolderRow("b", 0, 0)))
    assert record.exact is None
    assert FolderRecord(SUBJECT, "here", ("x",), ()).exact is None
