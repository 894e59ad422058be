import csv
from pathlib import Path

import pytest
from PIL import Image

import robustpeft as rp
from robustpeft.study import predict, write_predictions
from robustpeft.study.predict import Prediction, in_short


@pytest.fixture
def pictures(digits, tmp_path):
    for i in (0, 2, 10):
        pixels = digits.test[i].permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    return tmp_path


def test_predictions_are_those_of_the_model_in_natural_order(run, digits, pictures):
    found = predict(run.model, pictures)
    assert [p.path.name for p in found] == ["0.png", "2.png", "10.png", "3.png"]
    for prediction, i in zip(found[:3], (0, 2, 10), strict=True):
        probabilities = run.model.eval()(digits.test[i][None].float() / 255).softmax(1)[0].detach()
        assert prediction.label == run.model.classes[int(probabilities.argmax())]
        assert prediction.confidence == pytest.approx(float(probabilities.max()), abs=1e-5)
    assert found[3].problem
    assert found[3].label == ""


def test_the_file_has_one_line_a_picture(run, pictures, tmp_path):
    found = predict(rp.load(run.path), pictures)
    write_predictions(found, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [p.label for p in found]
    assert rows[3]["confidence"] == ""
    assert rows[3]["problem"]


def test_few_pictures_are_said_one_by_one_and_many_counted():
    few = [Prediction(Path("a.jpg"), "church", 0.4826), Prediction(Path("b.jpg"), "", 0.0, "broken")]
    assert in_short(few) == ["a.jpg: church, 48.3 %"]
    many = [Prediction(Path(f"{i}.jpg"), "cat" if i % 3 else "dog", 0.5) for i in range(1200)]
    assert in_short(many) == ["1,200 pictures: 800 cat, 400 dog"]
    assert in_short([Prediction(Path("x"), f"c{i}", 1.0) for i in range(15)])[0].endswith("c9 and 5 more classes")
