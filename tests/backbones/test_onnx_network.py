import numpy as np
import pytest
import torch

from robustpeft.backbones import OnnxNetwork
from robustpeft.errors import UserError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, FLOAT, HALF = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def write(path, kind=FLOAT, outputs=1, inputs=1):
    """Write a graph whose logits are the means of the three channels."""
    names = [f"logits{i or ''}" for i in range(outputs)]
    nodes = [helper.make_node("ReduceMean", ["images"], [name], axes=[2, 3], keepdims=0) for name in names]
    shape = ("b", 3, "h", "w")
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info(f"images{i or ''}", kind, shape) for i in range(inputs)],
        [helper.make_tensor_value_info(name, kind, ("b", 3)) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(("kind", "tolerance"), [(FLOAT, 1e-6), (HALF, 1e-3)])
def test_it_computes_what_the_graph_says_at_any_size(tmp_path, kind, tolerance):
    network = OnnxNetwork(write(tmp_path / "m.onnx", kind))
    assert (network.image_size, network.num_classes, network.num_weights) == (None, 3, 0)
    for side in (4, 9):
        images = torch.rand(5, 3, side, side)
        logits = network(images)
        assert logits.dtype == torch.float32
        assert torch.allclose(logits, images.mean(dim=(2, 3)), atol=tolerance)


def test_several_outputs_or_inputs_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"outputs logits \('b', 3\), logits1"):
        OnnxNetwork(write(tmp_path / "m.onnx", outputs=2))
    with pytest.raises(UserError, match="images1"):
        OnnxNetwork(write(tmp_path / "m.onnx", inputs=2))


def test_bytes_are_no_float_images(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["images"], ["logits"], to=FLOAT)],
        "cast",
        [helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ("b", 3, 2, 2))],
        [helper.make_tensor_value_info("logits", FLOAT, ("b", 3, 2, 2))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match=r"takes tensor\(uint8\) as 'images'"):
        OnnxNetwork(tmp_path / "m.onnx")


def test_its_weights_are_counted(tmp_path):
    weights = onnx.numpy_helper.from_array(np.ones((2, 3), dtype=np.float32), "w")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["m", "w"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", FLOAT, ("b", 3, 4, 4))],
        [helper.make_tensor_value_info("logits", FLOAT, ("b", 2))],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "m.onnx"))
    network = OnnxNetwork(tmp_path / "m.onnx")
    assert (network.num_weights, network.image_size, network.num_classes) == (6, (4, 4), 2)


def test_without_onnxruntime_it_says_what_to_install(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'robustpeft\[export\]'"):
        OnnxNetwork(tmp_path / "m.onnx")
