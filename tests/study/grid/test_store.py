import json

import pytest

from robustpeft.study.grid import CellResult, Failure, Store, arms_of

RESULT = CellResult(10, 5, 1, 100, 90, 80, 1.5, diverged="")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_states_follow_what_lies_there(store):
    assert store.state("a") == "waiting"
    with store.claim("a") as mine:
        assert mine is not None
        assert store.state("a") == "running"
    assert store.state("a") == "waiting"
    store.fail("a", Failure("because", "a traceback"))
    assert (store.state("a"), store.failure("a")) == ("failed", Failure("because", "a traceback"))
    store.finish("b", RESULT)
    assert (store.state("b"), store.result("b"), store.failure("b")) == ("done", RESULT, None)
    assert store.result("a") is None


def test_a_traceback_is_a_file_that_a_person_can_read(store):
    store.fail("a", Failure("because", "first\n  second \udcff"))
    assert store.traceback_of("a").read_text(errors="surrogateescape") == "first\n  second \udcff"
    assert store.failure("a").details == "first\n  second \udcff"
    store.forgive("a")
    assert not store.traceback_of("a").exists()


def test_what_was_thought_lost_and_is_done_after_all_did_not_fail(store):
    store.fail("a", Failure("its machine is gone"))
    store.finish("a", RESULT)
    assert (store.state("a"), store.failure("a")) == ("done", None)


def test_a_failure_is_forgiven_once(store):
    store.fail("a", Failure("because"))
    assert [store.forgive("a"), store.forgive("a"), store.state("a")] == [True, False, "waiting"]


def test_cleaning_leaves_what_is_needed(store):
    for identity in ("done", "failed", "waiting"):
        for name in ("checkpoints", "tensorboard", "kept"):
            (store.directory(identity) / "run" / name).mkdir(parents=True)
            (store.directory(identity) / "run" / name / "file").write_text("12345")
    store.finish("done", RESULT)
    store.fail("failed", Failure("because"))
    assert [store.clean(identity) for identity in ("done", "failed", "waiting")] == [10, 15, 0]
    assert [path.name for path in (store.directory("done") / "run").iterdir()] == ["kept"]
    assert not (store.directory("failed") / "run").exists()
    assert store.failure("failed") == Failure("because")
    (store.directory("done") / "run" / "checkpoints").mkdir()
    (store.directory("done") / "run" / "checkpoints" / "file").write_text("12345")
    with store.claim("done"):
        assert store.clean("done") == 0


def test_disk_is_counted(store):
    assert store.bytes_of("a") == 0
    store.directory("a").mkdir(parents=True)
    (store.directory("a") / "file").write_text("12345")
    assert store.bytes_of("a") == 5


def test_an_experiment_is_described_by_recipe_and_audit(store, study):
    cell = arms_of(study)[0].runs({})[0]
    store.describe(cell)
    plain = json.loads((store.directory(cell.identity) / "experiment.json").read_text())
    assert plain["recipe"]["method"]["name"] == "lora"
    assert plain["audit"]["epsilons"] == list(cell.audit.epsilons)
