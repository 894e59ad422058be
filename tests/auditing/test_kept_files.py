import io
import zipfile

import numpy as np
import pytest
import torch

from robustpeft.attacks.kept_images import KeptImages
from robustpeft.auditing.kept_files import file_digest, forget_unpacked, pack_images, read_packed
from robustpeft.errors import UserError
from robustpeft.types import L2, Linf

SMALL, LARGE = THREATS = (Linf(8 / 255), Linf(0.1))


def image(seed):
    return torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def ledger(tmp_path):
    """Image 1 was broken within both radii, 2 within the large one, by two attacks, and 3 within the small one."""
    directory = tmp_path / "ledger"
    directory.mkdir()
    kept = KeptImages(directory, 0)
    kept.save("0.fgsm@linf 0.1", {1: image(1), 2: image(2)})
    kept.save("1.pgd@linf 8/255", {1: image(10), 3: image(30)})
    kept.save("1.pgd@linf 0.1", {2: image(20)})
    kept.merge()
    return directory


def test_of_every_image_the_one_of_the_smallest_radius_is_packed(ledger, tmp_path):
    files = pack_images(ledger, tmp_path, THREATS)
    assert [(f.file, f.threat, f.images) for f in files] == [
        ("adversarial/linf-8-255.npz", {"norm": "linf", "epsilon": 8 / 255}, 2),
        ("adversarial/linf-0.1.npz", {"norm": "linf", "epsilon": 0.1}, 1),
    ]
    small, large = (dict(read_packed(tmp_path / f.file)) for f in files)
    assert (small.keys(), large.keys()) == ({1, 3}, {2})
    assert torch.equal(small[1], image(10))
    assert torch.equal(small[3], image(30))
    for kept in files:
        assert kept.sha256 == file_digest(tmp_path / kept.file)
        assert kept.bytes == (tmp_path / kept.file).stat().st_size


def test_numpy_opens_them_losslessly(tmp_path):
    directory = tmp_path / "ledger"
    directory.mkdir()
    odd = torch.tensor([0.0, 1.0, 1e-45, 0.1 + 2**-27, 1 - 2**-24, 1 / 3]).repeat(8).reshape(3, 4, 4)
    KeptImages(directory, 0).save("0.cw@l2 0.5", {7: odd})
    (kept,) = pack_images(directory, tmp_path, (L2(0.5),))
    with np.load(tmp_path / kept.file, allow_pickle=False) as file:
        assert file.files == ["7"]
        assert file["7"].tobytes() == odd.numpy().tobytes()


def test_equal_images_give_equal_files(ledger, tmp_path):
    first, second = (pack_images(ledger, tmp_path / name, THREATS) for name in ("a", "b"))
    assert first == second


def test_packing_again_leaves_nothing_of_the_earlier_audit(ledger, tmp_path):
    pack_images(ledger, tmp_path, THREATS)
    forget_unpacked(ledger)
    assert not list(ledger.glob("*.safetensors"))
    assert pack_images(ledger, tmp_path, THREATS) == ()
    assert not (tmp_path / "adversarial").exists()


def test_nothing_else_in_the_directory_is_touched(ledger, tmp_path):
    (tmp_path / "adversarial").mkdir()
    (tmp_path / "adversarial" / "notes.txt").write_text("mine")
    pack_images(ledger, tmp_path, THREATS)
    assert (tmp_path / "adversarial" / "notes.txt").read_text() == "mine"


def npz(**members):
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no zip",
        npz(**{"1": np.zeros((3, 2, 2))}),
        npz(**{"1": np.zeros(3, np.float32)}),
        npz(**{"one": np.zeros((3, 2, 2), np.float32)}),
        npz(**{"1": np.array([[["a"]]])}),
        npz(**{"1": np.array([[[{}]]], dtype=object)}),
    ],
    ids=["empty", "no zip", "float64", "flat", "no id", "text", "pickled"],
)
def test_what_holds_no_images_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.npz holds no adversarial images"):
        list(read_packed(tmp_path / "x.npz"))


def test_a_damaged_member_is_refused(ledger, tmp_path):
    kept = pack_images(ledger, tmp_path, THREATS)[0]
    path = tmp_path / kept.file
    with zipfile.ZipFile(path) as packed:
        start = packed.infolist()[0].header_offset + 60
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(UserError, match="can be read"):
        list(read_packed(path))
