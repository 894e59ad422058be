"""The attacks of other libraries, each called as its documentation says, in eval mode, on one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PEERS", "Counted", "reference_autoattack", "saved_bytes"]


class Counted(nn.Module):
    """A model that counts the images passed through it, forwards and backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        self.forwards += len(images)
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self.model(images)
        entry = images.view_as(images)
        entry.grad_fn.register_prehook(lambda gradients: self._count(len(gradients[0])))
        return self.model(entry)

    def _count(self, images: int) -> None:
        self.backwards += images


def saved_bytes(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Return the bytes that one forward keeps for its backward, parameters left out."""
    known = (
        {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        if isinstance(model, nn.Module)
        else set()
    )
    known |= (
        {buffer.untyped_storage().data_ptr() for buffer in model.buffers()} if isinstance(model, nn.Module) else set()
    )
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    points = images.clone().requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        F.cross_entropy(model(points), labels, reduction="sum")
    return sum(sizes.values())


def _torchattacks() -> Callable[..., Tensor]:
    import torchattacks

    def run(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, step_size: float, steps: int) -> Tensor:
        return torchattacks.PGD(model, eps=epsilon, alpha=step_size, steps=steps, random_start=True)(images, labels)

    return run


def _foolbox() -> Callable[..., Tensor]:
    import foolbox

    def run(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, step_size: float, steps: int) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.LinfPGD(abs_stepsize=step_size, steps=steps)
        return attack(wrapped, images, labels, epsilons=epsilon)[1]

    return run


def _art() -> Callable[..., Tensor]:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    def run(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, step_size: float, steps: int) -> Tensor:
        classifier = PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(images.shape[1:]),
            nb_classes=10,
            clip_values=(0, 1),
            device_type="cpu",
        )
        attack = ProjectedGradientDescentPyTorch(
            classifier,
            eps=epsilon,
            eps_step=step_size,
            max_iter=steps,
            num_random_init=1,
            batch_size=len(images),
            verbose=False,
        )
        return torch.from_numpy(attack.generate(images.numpy(), labels.numpy()))

    return run


def _pyautoattack() -> Callable[..., Tensor]:
    import pyautoattack

    def run(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        adversary = pyautoattack.AutoAttack(model, norm="Linf", eps=epsilon, seed=0, version="standard", device="cpu")
        adversary.verbose = False
        found = adversary.run_standard_evaluation(images, labels, batch_size=len(images))
        return found[0] if isinstance(found, tuple) else found

    return run


def _find(makers: dict[str, Callable[[], Callable[..., Tensor]]]) -> dict[str, Callable[..., Tensor]]:
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"({name} is left out: {error})")
    return found


PEERS = _find({"torchattacks": _torchattacks, "foolbox": _foolbox, "ART": _art})
reference_autoattack = _find({"pyautoattack": _pyautoattack}).get("pyautoattack")
