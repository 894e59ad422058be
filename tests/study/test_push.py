import json
import os
import shutil
import subprocess
import sys

import pytest
from huggingface_hub import HfApi

import robustpeft as rp
from robustpeft.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


def test_a_new_repository_is_private_unless_told(hub, run):
    assert rp.push(run.path, "ann/digits").private
    assert not rp.push(run, "ann/open", private=False).private
    assert (hub.repos["ann/digits"].private, hub.repos["ann/open"].private) == (True, False)


def test_one_that_is_there_stays_public_and_that_is_said(hub, run, caplog):
    rp.push(run, "ann/open", private=False)
    with caplog.at_level("INFO", "robustpeft"):
        assert not rp.push(run, "ann/open").private
    assert "ann/open was there before and is public" in caplog.text


def test_it_is_one_commit_whose_card_the_hub_has_checked(hub, audited_run):
    pushed = rp.push(audited_run, "ann/digits", license_id="apache-2.0")
    assert len(hub.repos["ann/digits"].commits) == 2  # the empty repository, and ours
    assert pushed.url.endswith(hub.repos["ann/digits"].branches["main"])
    files = hub.files("ann/digits")
    assert {name: len(files[name]) for name, _ in pushed.files} == dict(pushed.files)
    assert files["README.md"].decode() == hub.cards[0]
    assert 'rp.load("ann/digits")' in hub.cards[0]
    assert "license: apache-2.0" in hub.cards[0]


def test_a_dry_run_asks_nothing_of_anybody(hub, audited_run):
    pushed = rp.push(audited_run, "ann/digits", dry_run=True)
    assert pushed.url is None
    assert "audits/digits-test/audit.json" in dict(pushed.files)
    assert hub.requests == []


def test_audits_of_the_adapter_before_are_taken_away(hub, audited_run, run):
    rp.push(audited_run, "ann/digits")
    rp.push(run, "ann/digits")
    assert not [name for name in hub.files("ann/digits") if name.startswith("audits/")]
    rp.push(audited_run, "ann/digits")
    assert [name for name in hub.files("ann/digits") if name.startswith("audits/")]


def test_a_branch_leaves_main_alone(hub, run):
    rp.push(run, "ann/digits@trial")
    assert "robustpeft.json" in hub.files("ann/digits", "trial")
    assert "robustpeft.json" not in hub.files("ann/digits")


def test_without_the_right_to_write_it_says_so(hub, run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"ann/digits.*HF_TOKEN"):
        rp.push(run, "ann/digits")
    assert hub.repos == {}


def test_a_card_that_the_hub_does_not_take_is_the_users_to_mend(hub, audited_run, tmp_path):
    there = shutil.copytree(audited_run, tmp_path / "run")
    (there / "README.md").write_text("---\ntags: [unclosed\n---\n# mine\n")
    with pytest.raises(UserError, match=r"the hub refuses the model card \(Invalid metadata"):
        rp.push(there, "ann/digits")
    assert set(hub.files("ann/digits")) == {".gitattributes"}


def test_what_somebody_else_pushed_meanwhile_is_not_written_over(hub, run, monkeypatch):
    rp.push(run, "ann/digits")
    ask = HfApi.model_info

    def ask_late(*arguments, **options):
        info = ask(*arguments, **options)
        hub.repos["ann/digits"].commit("main", {"README.md": b"theirs"})
        return info

    monkeypatch.setattr(HfApi, "model_info", ask_late)
    with pytest.raises(UserError, match=r"refuses ann/digits \(.*412"):
        rp.push(run, "ann/digits")
    assert hub.files("ann/digits") == {"README.md": b"theirs"}


@pytest.mark.slow
def test_settings_of_the_environment_hold_in_a_process_of_its_own(hub, audited_run, tmp_path):
    """HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE as a person sets them, through the command line."""
    base = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}

    def typed(*arguments, **more):
        command = [sys.executable, "-m", "robustpeft", *map(str, arguments)]
        return subprocess.run(command, env=base | more, cwd=tmp_path, capture_output=True, text=True, check=False)

    pushed = typed("push", audited_run, "ann/digits", "--license", "mit")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.splitlines()[-1].startswith(f"pushed, private: {hub.url}/ann/digits/commit/")
    refused = typed("pull", "ann/digits", HF_TOKEN="hf_wrong")
    assert refused.returncode == 2
    assert "has no model ann/digits that may be read from here" in refused.stderr
    pulled = typed("pull", "ann/digits")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.splitlines()[-1].endswith(": runs/digits")
    assert json.loads((tmp_path / "runs" / "digits" / "robustpeft.json").read_text())["backbone_name"] == "digits_vit"
    hub.requests.clear()
    offline = typed("pull", "ann/digits", "again", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert hub.requests == []
