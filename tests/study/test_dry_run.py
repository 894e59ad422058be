import robustpeft as rp
from robustpeft.study import dry_run, read_recipe


def test_a_recipe_is_measured_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["training.epochs=3", "training.batch_size=50", "training.train_images=100"]
    cost = dry_run(read_recipe("lora-digits", [*quick, "method.r=2"]), device="cpu", steps=1)
    model = rp.load_backbone("digits_vit")
    adapter = rp.LoRA(r=2).count(model)
    assert (cost.trained - cost.trained_head, cost.steps) == (adapter, 6)
    assert cost.parameters == sum(p.numel() for p in model.parameters()) + adapter
    assert cost.seconds > cost.steps * cost.step_seconds > 0
    assert cost.memory_bytes > 4 * cost.parameters
    assert list(tmp_path.iterdir()) == []
