import numpy as np
import pytest
import torch

from robustpeft.study.grid import peak_memory
from robustpeft.study.grid.peak_memory import PeakMemory

MIB = 2**20
LINUX = pytest.mark.skipif(not peak_memory._RESET.exists(), reason="the kernel cannot be told to begin anew")


def measured(mebibytes, *, alone=True):
    watch = PeakMemory.begin("cpu", alone=alone)
    np.ones(mebibytes * MIB // 8).sum()
    return watch.end()


@LINUX
def test_what_an_experiment_holds_counts_and_an_earlier_one_does_not():
    small, _ = measured(8)
    large, where = measured(400)
    assert where == "process"
    assert 350 * MIB < large - small < 450 * MIB
    again, _ = measured(8)
    assert again < large - 300 * MIB


def test_where_the_kernel_cannot_begin_anew_only_a_new_peak_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "_RESET", tmp_path / "nowhere" / "clear_refs")
    peaks = iter([500, 700, 700, 700])
    monkeypatch.setattr(peak_memory, "_peak", lambda: next(peaks))
    assert PeakMemory.begin("cpu", alone=True).end() == (700, "process")
    assert PeakMemory.begin("cpu", alone=True).end() == (0, "")


def test_a_process_that_does_more_is_not_measured():
    assert measured(8, alone=False) == (0, "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_its_own_count_is_taken():
    watch = PeakMemory.begin("cuda", alone=False)
    torch.ones(64 * MIB, device="cuda").sum()
    size, where = watch.end()
    assert where == "cuda"
    assert size >= 256 * MIB
