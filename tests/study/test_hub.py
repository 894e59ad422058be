import logging
from pathlib import Path

import pytest

import robustpeft as rp
from robustpeft.errors import UserError
from robustpeft.study.hub import HubName, fetch, find_adapter

FILES = ("adapter_config.json", "adapter_model.safetensors", "robustpeft.json")
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


@pytest.fixture
def pushed(hub, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rp.push(run.path, "ann/digits")
    hub.requests.clear()
    return hub


def test_a_name_has_an_owner_and_perhaps_a_revision():
    assert HubName.parse("ann/digits") == HubName("ann/digits")
    assert HubName.parse("hf:ann/digits@v1.0") == HubName("ann/digits", "v1.0")
    assert str(HubName("ann/digits", "pr/1")) == "hf:ann/digits@pr/1"
    assert HubName.parse(str(HubName("a/b", "pr/1"))) == HubName("a/b", "pr/1")


@pytest.mark.parametrize(
    "text", ["digits", "a/b/c", "../b", "a/..", "./b", "~/b", "a /b", "a/b@", "a/b@x y", "/a", "a/", "", "ä/b", "a/b\n"]
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UserError, match="is no name on the hub; expected user/name"):
        HubName.parse(text)


def test_what_lies_on_disk_wins_and_the_hub_is_not_asked(pushed, run, tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "digits").symlink_to(run.path)
    assert find_adapter("ann/digits", FILES) == Path("ann/digits")
    assert pushed.requests == []


def test_that_both_are_there_is_said(pushed, run, tmp_path, caplog):
    fetch(HubName("ann/digits"), FILES)
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "digits").symlink_to(run.path)
    with caplog.at_level(logging.INFO, "robustpeft"):
        find_adapter("ann/digits", FILES)
    assert (
        "ann/digits is read from disk; the adapter of that name on the Hugging Face hub is hf:ann/digits" in caplog.text
    )


def test_a_slip_in_a_path_does_not_leave_the_machine(pushed, tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError, match=r"no run at runs/fullora: runs is a directory here, .* say hf:runs/fullora"):
        rp.load("runs/fullora")
    for path in (Path("ann/digits"), "./ann/digits", "ann/digits/", "ann"):
        with pytest.raises(UserError, match="is not a finished run"):
            rp.load(path)
    assert pushed.requests == []


def test_a_name_that_is_not_here_is_looked_for_on_the_hub_and_that_is_said(pushed, run, digits, caplog):
    images = next(digits.test.batches(8)).images
    with caplog.at_level(logging.INFO, "robustpeft"):
        model = rp.load("ann/digits")
    assert "ann/digits is no directory here; looking for it on the Hugging Face hub" in caplog.text
    assert model(images).equal(run.model(images))
    fetched = {path.rpartition("/")[2] for method, path in pushed.requests if "/resolve/" in path}
    assert fetched == set(FILES)


def test_a_revision_stays_what_it_was(pushed, run, digits, tune_digits, tmp_path):
    first = pushed.repos["ann/digits"].branches["main"]
    other = tune_digits(tmp_path / "other", method=rp.LoRA(r=1))
    rp.push(other, "ann/digits")
    assert rp.load(f"hf:ann/digits@{first}").attachments[0].method == run.model.attachments[0].method
    assert rp.load("hf:ann/digits").attachments[0].method == rp.LoRA(r=1)
    with pytest.raises(UserError, match=r"ann/digits has no revision nowhere on http"):
        rp.load("hf:ann/digits@nowhere")


def test_a_private_or_missing_one_says_how_to_log_in(pushed, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"has no model ann/digits that may be read from here; .* set HF_TOKEN"):
        rp.load("hf:ann/digits")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with pytest.raises(UserError, match="has no model ann/other"):
        rp.load("ann/other")


def test_without_a_network_the_copy_in_the_cache_serves(pushed, monkeypatch):
    with monkeypatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match=r"ann/digits cannot be had: .* no whole copy of it lies in the cache"):
            rp.load("ann/digits")
    rp.load("ann/digits")
    pushed.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert rp.load("ann/digits").classes
    assert pushed.requests == []


def test_a_hub_that_is_gone_is_one_message(pushed, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"ann/digits cannot be had: http://127\.0\.0\.1:9 is out of reach"):
        rp.load("hf:ann/digits")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_one_flipped_bit_is_noticed(pushed, name):
    pushed.broken.add(name)
    with pytest.raises(UserError, match=rf"{name} is not what the hub sent: its digest is .* delete it"):
        rp.load("ann/digits")
