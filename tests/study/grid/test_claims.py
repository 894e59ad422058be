import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from robustpeft.study.grid import claims
from robustpeft.study.grid.claims import STALE_SECONDS, Claim, claim, is_claimed

HOLD = """
import sys, time
from pathlib import Path
from robustpeft.study.grid.claims import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine is not None, flush=True)
    time.sleep(60)
"""


def elsewhere(directory, number=0, age=0.0, machine="another"):
    """Leave the claim of another machine, whose heart beat `age` seconds ago."""
    directory.mkdir(exist_ok=True)
    file = directory / f"claim-{number}"
    file.write_text(json.dumps({"host": "other", "process": 1, "machine": machine}))
    os.utime(file, (time.time() - age,) * 2)


def test_only_one_holds_a_claim(tmp_path):
    with claim(tmp_path / "a") as first, claim(tmp_path / "a") as second, claim(tmp_path / "b") as other:
        assert (first, second, other) == (Claim(tmp_path / "a", 0), None, Claim(tmp_path / "b", 0))
        assert first.holds()
        assert is_claimed(tmp_path / "a", time.time())
    assert not is_claimed(tmp_path / "a", time.time())
    assert not is_claimed(tmp_path / "never", time.time())
    with claim(tmp_path / "a") as again:
        assert again.number == 1
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["claim-1"]


def test_a_claim_is_given_back_by_whatever_ends_the_work(tmp_path):
    for error in (KeyboardInterrupt, SystemExit, ValueError):
        with pytest.raises(error), claim(tmp_path):
            raise error
        assert not is_claimed(tmp_path, time.time())


def test_the_claim_of_a_process_that_was_killed_is_free_at_once(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with claim(tmp_path) as mine:
            assert mine is None
        assert is_claimed(tmp_path, time.time() + 10 * STALE_SECONDS)  # alive is alive, also while it is stopped
        process.kill()
        process.wait()
    assert not is_claimed(tmp_path, time.time())
    with claim(tmp_path) as mine:
        assert mine.number == 1


def test_another_machine_is_trusted_while_its_heart_beats(tmp_path):
    elsewhere(tmp_path, age=STALE_SECONDS - 30)
    with claim(tmp_path) as mine:
        assert mine is None
    assert is_claimed(tmp_path, time.time())
    elsewhere(tmp_path, age=STALE_SECONDS + 1)
    assert not is_claimed(tmp_path, time.time())
    with claim(tmp_path) as mine:
        assert mine.number == 1


def test_a_heart_beats_while_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claim(tmp_path) as mine:
        os.utime(mine.file, (5, 5))
        until = time.monotonic() + 10
        while mine.file.stat().st_mtime == 5 and time.monotonic() < until:
            time.sleep(0.01)
        assert abs(mine.file.stat().st_mtime - time.time()) < 60
    assert mine.file.stat().st_mtime == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Thread") and not thread.daemon]


def test_where_there_are_no_locks_the_heartbeat_decides(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(claims.fcntl, "flock", no_locks)
    with claim(tmp_path) as first, claim(tmp_path) as second:
        assert (first.number, second) == (0, None)
    with claim(tmp_path) as again:
        assert again.number == 1


def test_who_wakes_up_too_late_notices_that_another_has_taken_over(tmp_path):
    with claim(tmp_path) as mine:
        elsewhere(tmp_path, number=1)
        assert not mine.holds()
        mine.file.unlink()  # as the other one does
    assert is_claimed(tmp_path, time.time())


def test_a_number_that_has_become_free_again_is_not_taken_behind_a_newer_one(tmp_path, monkeypatch):
    elsewhere(tmp_path, number=0, age=10 * STALE_SECONDS)
    alive = claims._is_alive

    def slowly(file, now):
        found = alive(file, now)
        elsewhere(tmp_path, number=2)  # meanwhile others took 1 and 2, and 1 is gone
        return found

    monkeypatch.setattr(claims, "_is_alive", slowly)
    with claim(tmp_path) as mine:
        assert mine is None
    assert (tmp_path / "claim-2").exists()
    assert not (tmp_path / "claim-1").exists()


def test_a_claim_that_says_nothing_is_another_machines(tmp_path):
    for text in ("", "[1]", "{}", "half a li"):
        (tmp_path / "claim-4").write_text(text)
        assert is_claimed(tmp_path, time.time())
        assert not is_claimed(tmp_path, time.time() + STALE_SECONDS)
    (tmp_path / "claim-x").write_text("no number")
    assert claims._newest(tmp_path) == 4


def _rush(directory, start, taken):
    start.wait()
    for _ in range(100):
        with claim(directory) as mine:
            if mine is None:
                continue
            inside = directory / "inside"
            inside.touch(exist_ok=False)  # fails if two are in here
            inside.unlink()
            taken.put(mine.number)


@pytest.mark.slow
def test_in_a_rush_of_processes_no_two_are_ever_inside(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, taken = context.Event(), context.Queue()
    rush = [context.Process(target=_rush, args=(tmp_path, start, taken)) for _ in range(4)]
    for process in rush:
        process.start()
    start.set()
    numbers = []
    while any(process.is_alive() for process in rush) or not taken.empty():
        if not taken.empty():
            numbers.append(taken.get())
    assert [process.exitcode for process in rush] == [0] * 4
    assert len(set(numbers)) == len(numbers) > 10
    assert not list(tmp_path.glob(".claim-*"))
