import threading
import time

import pytest
import torch

from robustpeft.data.image_store import InMemory, OnDemand, read_ahead
from robustpeft.errors import UserError


def grey(row: int) -> torch.Tensor:
    return torch.full((3, 2, 2), row, dtype=torch.uint8)


def test_both_stores_read_the_same():
    names = [f"{i}.png" for i in range(6)]
    memory = InMemory(torch.stack([grey(i) for i in range(6)]), names)
    lazy = OnDemand(grey, names, (2, 2), threads=3)
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(memory.read(rows), lazy.read(rows))
    assert len(memory) == len(lazy) == 6
    assert memory.size == lazy.size
    assert memory.name(3) == lazy.name(3) == "3.png"
    assert lazy.read(torch.tensor([], dtype=torch.int64)).shape == (0, 3, 2, 2)


def test_images_without_names_are_known_by_number():
    assert InMemory(torch.zeros(2, 3, 1, 1, dtype=torch.uint8)).name(1) == "image 1"


def test_batches_come_in_order_and_ahead_of_need():
    read: list[int] = []
    lock = threading.Lock()

    def decode(row: int) -> torch.Tensor:
        with lock:
            read.append(row)
        return grey(row)

    store = OnDemand(decode, [str(i) for i in range(20)], (2, 2), threads=1)
    batches = read_ahead(store, torch.arange(20).split(2), ahead=2)
    assert next(batches)[:, 0, 0, 0].tolist() == [0, 1]
    deadline = time.monotonic() + 5
    while len(read) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert sorted(read) == list(range(6))
    assert [b[0, 0, 0, 0].item() for b in batches] == list(range(2, 20, 2))


def test_an_error_while_reading_ahead_reaches_the_reader():
    def decode(row: int) -> torch.Tensor:
        if row == 3:
            raise UserError("3.png is broken")
        return grey(row)

    store = OnDemand(decode, [str(i) for i in range(8)], (2, 2), threads=2)
    with pytest.raises(UserError, match=r"3\.png"):
        list(read_ahead(store, torch.arange(8).split(2)))
