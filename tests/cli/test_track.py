import json


def test_metrics_of_a_run_are_sent_and_counted(type_in, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "loss": 0.5}) + "\n" for s in (1, 2)))
    ended = type_in("track", str(run), "--to", "tensorboard")
    assert ended.status == 0
    assert "2 steps of 1 experiments sent to tensorboard" in ended.out
    assert list((run / "tensorboard").iterdir())


def test_where_there_is_nothing_it_says_so(type_in, tmp_path):
    ended = type_in("track", str(tmp_path))
    assert ended.status == 2
    assert "no metrics.jsonl under" in ended.err
