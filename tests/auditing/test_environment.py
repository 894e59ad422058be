import platform

import torch

from robustpeft import __version__
from robustpeft.auditing.environment import describe_environment


def test_versions_device_and_threads_are_named():
    found = describe_environment(torch.device("cpu"))
    assert found["robustpeft"] == __version__
    assert found["torch"] == str(torch.__version__)
    assert found["python"] == platform.python_version()
    assert found["device"] == "cpu"
    assert found["threads"] == str(torch.get_num_threads())
    assert all(type(value) is str for value in found.values())
