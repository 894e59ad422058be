import dataclasses

import pytest

from robustpeft.errors import UserError
from robustpeft.records import AuditRecord, DataInfo, Finding, Introduction, Measurement, Rate, Subject
from robustpeft.study.targets import Facts
from robustpeft.study.targets.onnx_file import OnnxTarget
from robustpeft.study.targets.remembered import facts_of_record
from robustpeft.study.targets.timm_name import TimmTarget

TARGET = OnnxTarget("model.onnx")
PROBED = Finding("normalization", "half", "probed", "it fits", "--normalization half")


def record(command, *findings):
    return AuditRecord(
        Subject("model", "model", "0" * 64, 10, 40),
        DataInfo("photos", "test", 2, ("cat", "dog"), (8, 8), "d"),
        (Measurement("clean", "clean", "clean", Rate(1, 2), (Rate(1, 1), Rate(0, 1))),),
        command=command,
        introduction=Introduction("model.onnx", "onnx", findings),
    )


def test_what_was_typed_and_what_was_probed_is_known_again():
    made = record("robustpeft audit model.onnx --class-order natural --crop=0.875", PROBED)
    assert facts_of_record(made, TARGET, Facts(trust=True)) == Facts(
        normalization="half", class_order="natural", crop=0.875, trust=True
    )


def test_what_is_said_now_comes_first_and_what_is_not_read_is_left_out():
    made = record("robustpeft audit model.onnx --architecture vit_tiny_patch16_224", PROBED)
    assert facts_of_record(made, TARGET, Facts(normalization="none")) == Facts(normalization="none")


def test_without_an_introduction_nothing_is_known():
    assert facts_of_record(dataclasses.replace(record("--crop 0.5"), introduction=None), TARGET, Facts()) == Facts()


@pytest.mark.parametrize("command", ["--crop wide", "--crop 'open"])
def test_a_damaged_command_is_told(command):
    with pytest.raises(UserError, match="the record"):
        facts_of_record(record(command), TARGET, Facts())


def test_a_network_of_timms_is_asked_as_it_was_built_also_without_a_command():
    made = record("", PROBED)
    built = dataclasses.replace(
        made,
        subject=dataclasses.replace(made.subject, backbone="vit_tiny_patch16_224"),
        data=dataclasses.replace(made.data, image_size=(112, 112)),
        introduction=Introduction("weights.safetensors", "timm", (PROBED,)),
    )
    target = TimmTarget("weights.safetensors")
    known = Facts(architecture="vit_tiny_patch16_224", image_size=112, normalization="half")
    assert facts_of_record(built, target, Facts()) == known
    typed = dataclasses.replace(built, command="robustpeft audit weights.safetensors --architecture other")
    assert facts_of_record(typed, target, Facts()).architecture == "other"
    assert facts_of_record(built, target, Facts(image_size=64)) == dataclasses.replace(known, image_size=64)
