"""Does it work at all? The bundled network answers, learns for a step, and is attacked for one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch.nn import functional

from robustpeft.study.doctor.finding import Finding, bad, good

__all__ = ["examine_itself"]

_LEAST_RIGHT = 28  # of 32; it gets 97 % of the test images right


def examine_itself(device: str) -> Iterator[Finding]:
    """Yield whether the bundled ViT recognises digits, gets a gradient, and can be fooled by PGD.

    Whatever goes wrong becomes a finding: this is asked because something goes wrong.

    Args:
        device: Where to run.

    Cost:
        About 10 forwards and backwards of 32 images of 16 pixels.
    """
    start = time.perf_counter()
    try:
        _use_torchvision()
        text = _run(device)
    except Exception as error:
        yield bad("self-test", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", _REMEDY)
        return
    seconds = time.perf_counter() - start
    if text.startswith("wrong"):
        yield bad("self-test", text, _REMEDY)
    else:
        yield good("self-test", f"{text}, in {seconds:.1f} s")


_REMEDY = "install robustpeft into a fresh environment; if that does not help, report this"


def _use_torchvision() -> None:
    """Call one of torchvision's compiled operations: beside another torch than its own they are not there."""
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def _run(device: str) -> str:
    from robustpeft.attacks import PGD
    from robustpeft.backbones import Backbone
    from robustpeft.data import Digits
    from robustpeft.pet import LoRA
    from robustpeft.types import Linf

    model = Backbone().load().to(device)
    batch = next(iter(Digits().load((16, 16)).test.batches(32, device=device)))
    right = int((model(batch.images).argmax(dim=1) == batch.labels).sum())
    if right < _LEAST_RIGHT:
        return f"wrong: {right} of 32 digits recognised"
    handle = LoRA(r=2).attach(model)
    loss = functional.cross_entropy(model(batch.images), batch.labels)
    norms = torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, handle.parameters())])
    if not torch.isfinite(norms).all() or float(norms.max()) == 0:
        return "wrong: the gradient of the adapter is zero or not finite"
    attacked = PGD(steps=3)(model, batch.images, batch.labels, Linf(0.1), seed=0, ids=batch.ids)
    left = int((model(attacked).argmax(dim=1) == batch.labels).sum())
    if not left < right:
        return f"wrong: PGD fooled nothing ({left} of {right} digits still recognised)"
    return f"{right} of 32 digits recognised on {device}, {left} after PGD"
