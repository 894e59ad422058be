import pytest
import torch

from robustpeft.errors import UserError
from robustpeft.types import PRECISIONS, passes_dtype


def test_auto_is_float32_where_the_hardware_has_no_bf16():
    cpu = torch.device("cpu")
    assert [passes_dtype(name, cpu) for name in PRECISIONS] == [None, None, torch.bfloat16]


def test_another_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="unknown precision 'bf61'; did you mean 'bf16'"):
        passes_dtype("bf61", torch.device("cpu"))
