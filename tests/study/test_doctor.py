import dataclasses

import pytest
import torch

from robustpeft.study.doctor import examine, self_test as itself
from robustpeft.study.doctor.machine import cores, examine_machine
from robustpeft.study.doctor.packages import examine_packages

INSTALLED = {"torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.0", "gradio": "6.31.0", "pillow": "12.0.0"}
NEEDS = {
    "robustpeft": ["torch>=2.11", "torchvision", "numpy>=2.0", 'gradio>=6.20; extra == "app"', 'ray; extra == "ray"'],
    "torchvision": ["torch>=2.14", "numpy", "gdown; extra == 'gdown'"],
    "gradio": ["pillow<13.0,>=8.0", "numpy<3.0", 'winonly; sys_platform == "win32"'],
}


def packages(**changes):
    installed = {name: version for name, version in (INSTALLED | changes).items() if version}
    return {f.topic: f for f in examine_packages(installed.get, lambda package: NEEDS.get(package, []))}


def test_what_belongs_together_is_fine_and_a_missing_extra_is_no_fault():
    found = packages()
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert found["extra ray"].remedy.startswith("pip install 'robustpeft[ray]'")


@pytest.mark.parametrize(
    ("changes", "topic", "words"),
    [
        ({"torch": "2.13.1"}, "torchvision", "torch 2.13.1 is not >=2.14"),
        ({"pillow": "13.1"}, "gradio", "pillow 13.1 is not <13.0"),
        ({"pillow": None}, "gradio", "pillow is missing"),
        ({"numpy": "3.0.0"}, "gradio", "numpy 3.0.0 is not <3.0"),
        ({"torch": "2.15.0+cu128", "torchvision": "0.29.2+cpu"}, "torchvision", "built for cu128, torchvision for cpu"),
        ({"numpy": "1.26.0"}, "packages", "numpy 1.26.0 is not >=2.0"),
        ({"torchvision": None}, "packages", "torchvision is missing"),
    ],
)
def test_what_cannot_work_is_named_with_a_remedy(changes, topic, words):
    found = packages(**changes)[topic]
    assert found.verdict == "broken"
    assert words in found.text
    assert found.remedy


def test_an_extra_that_is_too_old_is_a_warning():
    found = packages(gradio="6.1")["extra app"]
    assert (found.verdict, found.remedy) == ("warning", "pip install 'robustpeft[app]'")


def machine(**environment):
    return {finding.topic: finding for finding in examine_machine(environment)}


def test_threads_of_several_processes_must_fit_on_the_cores():
    found = machine(LOCAL_WORLD_SIZE=str(cores() + 1))["threads"]
    assert found.verdict == "warning"
    assert found.remedy == "export OMP_NUM_THREADS=1"
    if torch.get_num_threads() == 1:
        assert machine(LOCAL_WORLD_SIZE="1")["threads"].verdict == "ok"


def test_a_number_of_threads_that_is_none_is_named():
    assert "'many'" in machine(OMP_NUM_THREADS="many")["threads"].text


def test_a_cache_that_cannot_be_written_to_is_broken(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(os, "access", lambda path, mode: str(tmp_path) not in str(path))
    found = machine(HF_HOME=str(tmp_path / "hf"))["weights cache"]
    assert (found.verdict, found.remedy) == ("broken", "set HF_HOME")


def test_what_is_kept_in_the_cache_is_counted(tmp_path):
    (tmp_path / "hub" / "models--timm--x").mkdir(parents=True)
    found = machine(HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")["weights cache"]
    assert "1 models kept" in found.text
    assert "nothing is downloaded" in found.text


def test_a_driver_without_a_torch_that_uses_it_is_broken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    assert machine()["device"].verdict == "broken"


def test_the_self_test_passes_here_and_names_what_fails(monkeypatch):
    (found,) = itself.examine_itself("cpu")
    assert found.verdict == "ok"
    assert "of 32 digits recognised on cpu" in found.text
    monkeypatch.setattr(itself, "_run", lambda device: 1 / 0)
    (found,) = itself.examine_itself("cpu")
    assert (found.verdict, found.text) == ("broken", "ZeroDivisionError: division by zero")
    monkeypatch.setattr(itself, "_run", lambda device: "wrong: 3 of 32 digits recognised")
    assert next(itself.examine_itself("cpu")).verdict == "broken"


def test_a_whole_examination_needs_no_network(monkeypatch):
    import socket

    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = examine()
    assert {"packages", "device", "threads", "self-test"} <= {finding.topic for finding in found}
    assert all(dataclasses.asdict(finding)["text"] for finding in found)
