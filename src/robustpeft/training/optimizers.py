"""Which optimiser moves which parameters at which rate?"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import SGD, AdamW, Optimizer

from robustpeft.errors import UserError
from robustpeft.training.phases import Phase
from robustpeft.training.plan import TrainingPlan
from robustpeft.training.protocols import Tunable

__all__ = ["build_optimizer", "load_optimizer_state", "optimizer_state", "set_rate", "trained_in"]

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _NormBase)


def trained_in(tunable: Tunable, phase: Phase) -> dict[str, nn.Parameter]:
    """Return what a phase trains, by name.

    Raises:
        UserError: If it trains the head, and there is none.
    """
    parameters = tunable.named_parameters()
    if phase.trains == "all":
        return parameters
    head = {name: parameter for name, parameter in parameters.items() if tunable.is_head(name)}
    if not head:
        raise UserError("a phase trains the head alone, but the model has no head that is trained")
    return head


def build_optimizer(tunable: Tunable, plan: TrainingPlan, phase: Phase | None = None) -> Optimizer:
    """Return the optimiser over what a phase trains; vectors (norms, biases) have no weight decay.

    Args:
        tunable: The model.
        plan: Rates and decay.
        phase: None for the main one.
    """
    phase = phase or plan.phases()[-1]
    norms = {id(p) for m in tunable.model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained_in(tunable, phase).items():
        factor = plan.norm_rate if id(parameter) in norms else 1.0
        rate = (phase.learning_rate or plan.learning_rate) * (plan.head_rate if tunable.is_head(name) else factor)
        decay = plan.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    options = [{"params": p, "lr": rate, "peak": rate, "weight_decay": wd} for (rate, wd), p in groups.items()]
    if (phase.optimizer or plan.optimizer) == "sgd":
        return SGD(options, momentum=plan.momentum)
    return AdamW(options, fused=True)  # one kernel a tensor: a seventh of the time on small tensors


def set_rate(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def optimizer_state(optimizer: Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
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
        parameter = parameters[name]
        optimizer.state[parameter][key] = value.clone() if key == "step" else value.clone().to(parameter.device)
