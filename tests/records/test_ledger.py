import dataclasses
import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from robustpeft.errors import UserError
from robustpeft.records import LedgerRow, LedgerSegment, compact_ledger, read_ledger, read_parquet, write_parquet

HEADER = {"model": "abc", "plan": {"attacks": ["pgd"], "seed": 3}, "slots": 4}

finite = st.floats(allow_nan=False)
naturals = st.integers(0, 2**62)
texts = st.text(st.characters(codec="utf-8"))
rows = st.builds(
    LedgerRow,
    image=st.integers(-(2**63), 2**63 - 1),
    stage=texts,
    run=st.integers(0, 2**31),
    broken=st.booleans(),
    step=naturals,
    prediction=naturals,
    margin=finite,
    norm=finite,
    forwards=naturals,
    backwards=naturals,
    seconds=finite,
    extra=texts,
)


def row(image, stage="clean", run=0, **fields):
    return LedgerRow(image, stage, run, **({"broken": False, "step": 0, "prediction": 1, "margin": -0.5} | fields))


def segment(directory, shard=(0, 1), header=HEADER):
    return LedgerSegment(directory, shard, header)


@pytest.fixture
def written(tmp_path):
    with segment(tmp_path) as ledger:
        ledger.append([row(1), row(2)])
        ledger.append([row(1, "0.pgd@linf 0.1", broken=True, margin=0.1 + 0.2)])
    return tmp_path / "segment-0-of-1.jsonl"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(rows, unique_by=lambda row: row.key, max_size=5), cut=st.integers(0, 5))
def test_what_is_written_is_read_bit_for_bit(found, cut, tmp_path_factory):
    directory = tmp_path_factory.mktemp("ledger")
    with segment(directory) as ledger:
        ledger.append(found[:cut])
        ledger.append(found[cut:])
        assert ledger.rows == found
    with segment(directory) as ledger:
        assert ledger.rows == found
    header, read = read_ledger(directory)
    assert read == sorted(found, key=lambda row: (row.stage, row.image, row.run))
    assert header == {"format": 1} | HEADER
    assert read_parquet(compact_ledger(directory)) == (header, read)


def test_segments_are_read_together_and_each_is_one_file(tmp_path):
    with segment(tmp_path, (0, 2)) as one, segment(tmp_path, (1, 2)) as other:
        one.append([row(2), row(4)])
        other.append([row(3)])
    assert [each.image for each in read_ledger(tmp_path)[1]] == [2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["segment-0-of-2.jsonl", "segment-1-of-2.jsonl"]


def test_a_segment_can_be_read_while_it_is_written(tmp_path):
    with segment(tmp_path) as ledger:
        ledger.append([row(1)])
        assert read_ledger(tmp_path)[1] == [row(1)]


def test_every_cut_of_the_end_loses_the_cut_rows_and_no_other(written, caplog):
    whole = written.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        written.write_bytes(whole[:cut])
        caplog.clear()
        with segment(written.parent) as ledger:
            left = sum(end <= cut for end in ends)
            assert len(ledger.rows) == max(left - 1, 0)
            ledger.append([row(9)])
        assert ("half-written line, which is cut off" in caplog.text) == (cut not in (0, *ends))
        assert [each.image for each in read_ledger(written.parent)[1] if each.image == 9] == [9]


def test_a_last_line_that_is_whole_but_wrong_is_cut_off_too(written):
    data = bytearray(written.read_bytes())
    data[-20] ^= 1
    written.write_bytes(data)
    with segment(written.parent) as ledger:
        assert ledger.rows == [row(1), row(2)]


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("byte", [5, -3])
def test_damage_before_the_end_is_named_with_its_line_and_nothing_is_cut_off(written, line, byte):
    lines = written.read_bytes().split(b"\n")
    changed = bytearray(lines[line])
    changed[byte] ^= 1
    lines[line] = bytes(changed)
    written.write_bytes(b"\n".join(lines))
    for read in (segment, read_ledger):
        with pytest.raises(UserError, match=f"jsonl is damaged in line {line + 1}: its checksum does not fit"):
            read(written.parent)
    assert written.read_bytes() == b"\n".join(lines)


def test_a_line_that_is_no_row_is_said(written):
    text = json.dumps({"image": 1, "colour": "red"}).encode()
    with written.open("ab") as file:
        file.write(text + f"\t{zlib.crc32(text):08x}\n".encode())
    with pytest.raises(UserError, match=r"line 5 is no row of a ledger \(.*colour"):
        read_ledger(written.parent)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "xyz"}, 'its model is "abc", now it is "xyz"; give another directory'),
        ({"slots": 5}, "its slots is 4, now it is 5"),
        ({"plan": {"attacks": ["pgd"], "seed": 4}}, "its plan.seed is 3, now it is 4"),
        ({"plan": {"attacks": ["apgd"], "seed": 3}}, 'its plan.attacks.0 is "pgd", now it is "apgd"'),
        ({"plan": {"attacks": [], "seed": 3}}, r'its plan.attacks is \["pgd"\], now it is \[\]'),
        ({"more": 1}, "its more is null, now it is 1"),
        ({"model": "x" * 100}, r'its model is "abc", now it is "x{56}\.\.\.;'),
    ],
)
def test_other_work_is_refused_and_said(written, change, sentence):
    with pytest.raises(UserError, match=f"belongs to other work: {sentence}"):
        segment(written.parent, header=HEADER | change)
    with segment(written.parent):  # it was given back
        pass


def test_tuples_in_a_header_are_those_that_were_written(tmp_path):
    for _ in range(2):
        segment(tmp_path, header={"plan": (1, 2)}).close()


def test_segments_of_different_work_are_no_ledger(tmp_path):
    segment(tmp_path, (0, 2)).close()
    segment(tmp_path, (1, 2), HEADER | {"slots": 5}).close()
    with pytest.raises(UserError, match=r"segment-1-of-2\.jsonl belongs to other work: its slots is 5, now it is 4"):
        read_ledger(tmp_path)


def test_another_number_of_processes_is_refused(written):
    with pytest.raises(UserError, match="was begun with 1 processes; 2 would share the images otherwise"):
        segment(written.parent, (0, 2))


def test_two_processes_cannot_write_one_segment(tmp_path):
    code = (
        "import sys; from pathlib import Path; from robustpeft.records import LedgerSegment\n"
        f"LedgerSegment(Path(sys.argv[1]), (0, 1), {HEADER!r})"
    )
    with segment(tmp_path) as ledger:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert "UserError" in done.stderr
        assert "is being written by another process" in done.stderr
        with pytest.raises(UserError, match="is being written by another process"):
            segment(tmp_path)
        ledger.append([row(1)])
    with segment(tmp_path) as ledger:
        assert ledger.rows == [row(1)]


def test_a_full_disk_is_said_and_leaves_no_half_row(written, monkeypatch):
    before, real = written.read_bytes(), os.write

    def write(file, data):
        if len(data) > 40:
            return real(file, data[:40])
        raise OSError(errno.ENOSPC, "No space left on device")

    with segment(written.parent) as ledger:
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\); what was found so far"):
            ledger.append([row(7), row(8)])
        assert written.read_bytes() == before
        assert len(ledger.rows) == 3
        monkeypatch.undo()
        ledger.append([row(7)])
    assert len(read_ledger(written.parent)[1]) == 4


def test_a_write_in_pieces_is_a_whole_one(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:7]))
    with segment(tmp_path) as ledger:
        ledger.append([row(7), row(8)])
    assert read_ledger(tmp_path)[1] == [row(7), row(8)]


def test_a_limit_of_the_system_is_said_like_a_full_disk(tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code = (
        "import sys; from pathlib import Path; from robustpeft.records import LedgerRow, LedgerSegment\n"
        f"ledger = LedgerSegment(Path(sys.argv[1]), (0, 1), {HEADER!r})\n"
        "for image in range(100): ledger.append([LedgerRow(image, 'clean', 0, False, 0, 1, -0.5)])"
    )
    command = [sys.executable, "-B", "-c", code, str(tmp_path)]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert "cannot be written (File too large); what was found so far stays" in done.stderr
    found = read_ledger(tmp_path)[1]
    assert [each.image for each in found] == list(range(len(found)))
    assert len(found) > 2
    with segment(tmp_path) as ledger:
        assert ledger.rows == found


def test_a_place_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no ledger can be kept in"):
        segment(tmp_path / "file")


def test_a_directory_without_a_ledger_is_said(tmp_path):
    with pytest.raises(UserError, match="no ledger in"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("margin", [-math.inf, math.inf])
def test_a_margin_without_bound_survives(tmp_path, margin):
    with segment(tmp_path) as ledger:
        ledger.append([row(1, margin=margin)])
    assert read_ledger(tmp_path)[1] == read_parquet(compact_ledger(tmp_path))[1] == [row(1, margin=margin)]


def test_parquet_has_a_column_per_field_and_no_temporary_file(tmp_path):
    import pyarrow.parquet as pq

    write_parquet({"slots": 4}, [row(1), row(2, broken=True)], tmp_path / "ledger.parquet")
    table = pq.read_table(tmp_path / "ledger.parquet")
    assert table.column_names == [field.name for field in dataclasses.fields(LedgerRow)]
    assert table.column("broken").to_pylist() == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.parquet"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no PAR1"])
def test_a_file_that_is_no_ledger_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "ledger.parquet").write_bytes(content)
    with pytest.raises(UserError, match="is no ledger in Parquet"):
        read_parquet(tmp_path / "ledger.parquet")
