import json
import shutil

import pytest

import robustpeft as rp
from robustpeft.backbones.digits_vit import bundled_weights
from robustpeft.errors import UserError
from robustpeft.records import read_record
from robustpeft.study import offered

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


@pytest.fixture
def pushed(hub, audited_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rp.push(audited_run, "ann/digits")
    return hub


def replace(hub, **files):
    there = hub.repos["ann/digits"]
    there.commit(
        "main", hub.files("ann/digits") | {name.replace("__", "."): content for name, content in files.items()}
    )


def test_what_comes_back_answers_as_what_was_sent(pushed, run, digits, tmp_path):
    pulled = rp.pull("ann/digits")
    assert pulled.path.as_posix() == "runs/digits"
    assert pulled.revision == pushed.repos["ann/digits"].branches["main"]
    images = next(digits.test.batches(16)).images
    assert rp.load(pulled.path)(images).equal(run.model(images))
    record = read_record(pulled.path / "audits" / "digits-test")
    assert record["clean"].correct.n == 40
    assert offered("ann/digits") == pulled.files


def test_a_pulled_adapter_can_be_pushed_and_pulled_again(pushed, tmp_path):
    rp.push(rp.pull("ann/digits", "one").path, "ann/second")
    two = rp.pull("ann/second", tmp_path / "two")
    assert {n for n, _ in two.files} == {n for n, _ in offered("ann/digits")}
    assert (tmp_path / "one" / "robustpeft.json").read_bytes() == (two.path / "robustpeft.json").read_bytes()


def test_scripts_and_pickles_stay_on_the_hub(pushed, tmp_path):
    replace(pushed, model__py=b"raise SystemExit", adapter_model__bin=b"pickle", config__json=b"{}")
    rp.pull("ann/digits", "here")
    names = {path.name for path in (tmp_path / "here").rglob("*")}
    assert not names & {"model.py", "adapter_model.bin", "config.json", ".cache"}
    assert not [path for _, path in pushed.requests if path.endswith((".py", ".bin"))]


def test_a_class_of_others_is_refused_before_anything_is_written(pushed, tmp_path):
    said = json.loads(pushed.files("ann/digits")["robustpeft.json"])
    said["method"] = {"name": "evil_module:Method"}
    replace(pushed, robustpeft__json=json.dumps(said).encode())
    with pytest.raises(
        UserError, match="names evil_module:Method, which is not part of robustpeft; nothing was imported"
    ):
        rp.pull("ann/digits", "here")
    assert not (tmp_path / "here").exists()
    with pytest.raises(UserError, match="nothing was imported"):
        rp.load("ann/digits")
    assert rp.pull("ann/digits", "here", trust=True).path.is_dir()


def test_another_backbone_is_refused_by_its_digest(pushed):
    said = json.loads(pushed.files("ann/digits")["robustpeft.json"])
    replace(pushed, robustpeft__json=json.dumps(said | {"backbone_digest": "0" * 64}).encode())
    for load in (lambda: rp.load("ann/digits"), lambda: rp.load(rp.pull("ann/digits", "here").path)):
        with pytest.raises(UserError, match="belongs to other weights of digits_vit: its digest is 000000000000"):
            load()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}'])
def test_a_damaged_one_is_refused_and_leaves_nothing(pushed, tmp_path, content):
    replace(pushed, robustpeft__json=content)
    with pytest.raises(UserError, match=r"robustpeft\.json"):
        rp.pull("ann/digits", "here")
    assert not (tmp_path / "here").exists()


def test_a_model_that_is_no_adapter_of_ours_is_refused(hub, run, tmp_path):
    rp.push(run, "ann/digits")
    hub.repos["ann/digits"].commit("main", {"model.safetensors": b"x", "README.md": b"y"})
    with pytest.raises(UserError, match=r"is not a finished run: robustpeft\.json is missing"):
        rp.pull("ann/digits", tmp_path / "here")


def test_what_is_in_the_way_is_not_touched(pushed, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError):
            rp.pull("ann/digits", "here", overwrite=overwrite)
    assert (tmp_path / "here" / "thesis.txt").read_text() == "mine"
    rp.pull("ann/digits", "run")
    with pytest.raises(UserError, match="is not empty"):
        rp.pull("ann/digits", "run")
    rp.pull("ann/digits", "run", overwrite=True)


def test_an_adapter_on_weights_of_its_own_brings_them_along(hub, audited_run, digits, tmp_path):
    """A run that started from another one lies on frozen weights that no name can build."""
    there = shutil.copytree(audited_run, tmp_path / "mine" / "run")
    shutil.copy(bundled_weights(), there / "start.safetensors")
    said = json.loads((there / "robustpeft.json").read_text())
    said["backbone"] |= {"weights": str(there / "start.safetensors"), "num_classes": 10}
    (there / "robustpeft.json").write_text(json.dumps(said))
    images = next(digits.test.batches(8)).images
    logits = rp.load(there)(images)
    rp.push(there, "ann/started")
    shutil.rmtree(tmp_path / "mine")
    assert rp.load("hf:ann/started")(images).equal(logits)
    assert rp.load(rp.pull("ann/started", tmp_path / "theirs").path)(images).equal(logits)


def test_a_copy_that_breaks_off_is_no_run_and_can_be_begun_anew(pushed, monkeypatch):
    copy, done = shutil.copyfile, []

    def break_off(*arguments):
        done.append(arguments)
        if len(done) == 3:
            raise KeyboardInterrupt
        return copy(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfile", break_off)
        with pytest.raises(KeyboardInterrupt):
            rp.pull("ann/digits", "here")
    with pytest.raises(UserError, match="is not a finished run"):
        rp.load("./here")
    assert rp.load(rp.pull("ann/digits", "here", overwrite=True).path).classes


@pytest.mark.parametrize("name", ["audits/../../../evil/audit.json", "audits/..\\..\\evil/audit.json"])
def test_a_name_that_leads_out_is_not_fetched(pushed, tmp_path, name):
    there = pushed.repos["ann/digits"]
    there.commit("main", pushed.files("ann/digits") | {name: b"{}"})
    rp.pull("ann/digits", "here")
    assert not [*tmp_path.parent.glob("evil*"), *tmp_path.rglob("evil*")]
    assert not [path for _, path in pushed.requests if "evil" in path]
    assert not [found for found, _ in offered("ann/digits") if ".." in found]
