import json

from robustpeft.training.metrics import Metrics


def test_each_line_is_one_json_object_with_its_step(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(3, {"loss": 0.5})
    metrics.write(6, {"loss": 0.25, "note": "x"})
    metrics.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 3, "loss": 0.5}, {"step": 6, "loss": 0.25, "note": "x"}]
    assert list((tmp_path / "tensorboard").iterdir())


def test_on_resume_later_lines_and_a_torn_line_are_dropped(tmp_path):
    metrics = Metrics(tmp_path)
    for step in (3, 6, 9):
        metrics.write(step, {"loss": float(step)})
    metrics.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "lo')
    resumed = Metrics(tmp_path, after_step=6)
    resumed.write(9, {"loss": -1.0})
    resumed.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [3.0, 6.0, -1.0]


def test_a_new_run_forgets_the_old_lines(tmp_path):
    first = Metrics(tmp_path)
    first.write(1, {"loss": 1.0})
    first.close()
    Metrics(tmp_path).close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
