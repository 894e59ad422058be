import pytest

from robustpeft.errors import UserError
from robustpeft.records import DistanceRecord, DistanceRow, read_distance, write_distance

ROW = DistanceRow("q", 10, (0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.05, 0.06), (1.0, 1.1))


def test_what_is_written_is_read(tmp_path):
    record = DistanceRecord("standard", "robust", (1, 2), (ROW,))
    write_distance(record, tmp_path)
    assert read_distance(tmp_path) == record


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "KeyError"), ("{", "JSONDecodeError"), ('{"schema_version": 9}', "version 9"), ("[]", "")]
)
def test_what_is_no_record_is_told(tmp_path, text, said):
    (tmp_path / "distance.json").write_text(text)
    with pytest.raises(UserError, match=f"cannot be read .*{said}"):
        read_distance(tmp_path)
    with pytest.raises(UserError, match="FileNotFoundError"):
        read_distance(tmp_path / "nowhere")
