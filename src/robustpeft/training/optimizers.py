"""Which optimiser moves which parameters at which rate?"""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from robustpeft.training.plan import TrainingPlan
from robustpeft.training.protocols import Tunable

__all__ = ["build_optimizer", "load_optimizer_state", "optimizer_state", "set_rate"]


def build_optimizer(tunable: Tunable, plan: TrainingPlan) -> Optimizer:
    """Return the optimiser over the trained parameters; vectors (norms, biases) have no weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in tunable.named_parameters().items():
        rate = plan.learning_rate * (plan.head_rate if tunable.is_head(name) else 1.0)
        decay = plan.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    options = [{"params": p, "lr": rate, "peak": rate, "weight_decay": wd} for (rate, wd), p in groups.items()]
    if plan.optimizer == "sgd":
        return SGD(options, momentum=plan.momentum)
    return AdamW(options, fused=True)  # one kernel a tensor: a seventh of the time on small tensors


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def optimizer_state(optimizer: Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """Return the optimiser's tensors as ``<parameter>/<key>``."""
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer_state(optimizer: Optimizer, parameters: dict[str, nn.Parameter], state: dict[str, Tensor]) -> None:
    """Put back what `optimizer_state` returned."""
    for full, value in state.items():
        name, _, key = full.rpartition("/")
        optimizer.state[parameters[name]][key] = value.clone()
