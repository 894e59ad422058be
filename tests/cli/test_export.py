from collections.abc import Callable
from typing import Any

import pytest
from safetensors.torch import load_file


def test_merged_weights_are_written_where_asked(place: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("export", place.run(), "--to", "merged.safetensors")
    assert (ended.status, ended.out) == (0, "exported: merged.safetensors\n")
    names = load_file(place.path / "merged.safetensors").keys()
    assert "blocks.0.attn.qkv.weight" in names
    assert not [name for name in names if "adapter" in name]
    ended = type_in("export", place.path / "run", "--to", "merged.safetensors")
    assert ended.status == 2
    assert "merged.safetensors exists" in ended.err
    assert type_in("export", place.path / "run", "--to", "merged.safetensors", "--overwrite").status == 0


def test_an_onnx_file_is_run_and_compared(place: Any, type_in: Callable[..., Any]) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ended = type_in("export", place.run(), "--to", "model.onnx")
    assert ended.status == 0
    assert ended.out.startswith("exported: model.onnx\nonnxruntime: largest difference of logits ")
    assert float(ended.out.split()[-1]) < 1e-4
