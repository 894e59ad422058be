import dataclasses
import http.server
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustpeft.errors import UserError
from robustpeft.study.fetch import Need, fetch
from robustpeft.study.grid import Study

COMMIT = "a" * 40


def study(**settings):
    return Study("s", "fulllora-digits", set=settings, axes={"method": ("lora", "full")})


@pytest.fixture
def photos(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(12):
            noise = np.random.default_rng(i + 100 * (name == "dog")).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


def test_what_comes_with_the_package_is_no_need():
    assert list(fetch(study())) == []
    assert list(fetch(study(**{"backbone.name": "vit_tiny_patch16_224", "backbone.weights": False}))) == []


def test_a_folder_is_opened_and_its_split_made_once_for_all_arms(photos):
    asked = study(**{"data": {"source": "folder", "path": str(photos)}})
    assert list(fetch(asked, check=True)) == [Need(f"the folder {photos}", str(photos))]
    assert not (photos / "robustpeft_split.json").exists()  # it only looked
    assert list(fetch(asked)) == [Need(f"the folder {photos}", str(photos))]
    assert (photos / "robustpeft_split.json").is_file()


@pytest.mark.parametrize(
    ("settings", "what", "missing", "remedy"),
    [
        ({"data": {"source": "folder", "path": "/none"}}, "the folder /none", "/none", "--set data.path=FOLDER"),
        (
            {"data": {"source": "parquet", "train": "/no.parquet"}},
            "the Parquet files /no.parquet",
            "/no.parquet",
            "data.train",
        ),
        ({"data": {"source": "folder", "path": "CHANGE-ME"}}, "the folder CHANGE-ME", "leaves it to you", "data.path"),
        (
            {"backbone.weights": "/no.safetensors"},
            "weights of digits_vit",
            "no weights file at",
            "backbone.weights=FILE",
        ),
        ({"start": "/no/run"}, "the run /no/run", "no directory /no/run", "tune it first"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_what_is_missing_is_named_with_how_to_get_it(settings, what, missing, remedy, check):
    (need,) = fetch(study(**settings), check=check)
    assert need.what == what
    assert missing in need.missing
    assert remedy in need.remedy
    assert "\n" not in need.missing


def test_only_looking_at_published_data_makes_no_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it connects"))
    data = {"source": "torch", "name": "cifar10", "root": str(tmp_path)}
    (need,) = fetch(study(data=data), check=True)
    assert need.what == "torchvision's cifar10"
    assert need.where == str(tmp_path)
    assert "not found" in need.missing
    assert "`robustpeft fetch` where there is a network" in need.remedy


def test_a_study_that_no_recipe_fits_is_refused():
    with pytest.raises(UserError, match="methd"):
        list(fetch(dataclasses.replace(study(), set={"methd": 3})))


class Hub(http.server.BaseHTTPRequestHandler):
    """One file of one repository, as the hub serves it."""

    def __init__(self, *args, file, **kwargs):
        self.file = file
        super().__init__(*args, **kwargs)

    def do_HEAD(self):
        found = self.path.split("?")[0] == "/timm/test_vit.r160_in1k/resolve/main/model.safetensors"
        self.send_response(200 if found else 404)
        if found:
            self.send_header("Content-Length", str(self.file.stat().st_size))
            self.send_header("ETag", '"12345"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        return found

    def do_GET(self):
        if self.do_HEAD():
            self.wfile.write(self.file.read_bytes())

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_weights_come_from_a_hub_and_are_here_afterwards(tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "mine.yaml").write_text(
        "base: fulllora-digits\nset: {backbone.name: test_vit.r160_in1k}\naxes: {method: [lora]}\n"
    )
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, file=tmp_path / "model.safetensors"))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{served.server_port}",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
    }
    environment.pop("HF_HUB_OFFLINE", None)

    def typed(*words):
        command = [sys.executable, "-m", "robustpeft.cli", "fetch", "mine.yaml", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    before = typed("--check")
    assert before.returncode == 2
    assert before.stdout.startswith("missing: weights of test_vit.r160_in1k")
    assert before.stderr == "1 of 1 are missing\n"
    brought = typed()
    served.shutdown()
    served.server_close()
    assert (brought.returncode, brought.stdout.splitlines()[-1]) == (0, "all 1 are here"), brought.stderr
    assert list(Path(tmp_path / "cache").rglob("model.safetensors"))
    after = typed("--check")  # the hub is gone
    assert (after.returncode, after.stdout.splitlines()[-1]) == (0, "all 1 are here")
