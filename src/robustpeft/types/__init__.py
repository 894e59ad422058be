"""What are images, labels, a classifier, a threat, an attackable model, its seams?"""

from collections.abc import Mapping

from robustpeft.errors import UserError, nearest_hint
from robustpeft.types.companion import Companion
from robustpeft.types.fields import COUNT, Interval, check_fields
from robustpeft.types.images import check_images, check_labels
from robustpeft.types.model import Attackable, Classifier, Foldable, gives_gradients
from robustpeft.types.norm_text import norm_text, parse_norm, threat_of
from robustpeft.types.precision import PRECISIONS, passes_dtype
from robustpeft.types.randomness import Noise, content_ids, derive_seed
from robustpeft.types.seams import COMPONENTS, STAGE_COMPONENTS, Residual, Seams, Site
from robustpeft.types.split import Batch, Split
from robustpeft.types.stratified import chosen_part, ranks_within
from robustpeft.types.tables import imports_allowed, look_up, name_of
from robustpeft.types.threat import L2, Linf, Threat
from robustpeft.types.threat_l1 import L1
from robustpeft.types.threat_patch import Patch
from robustpeft.types.twin import attack_view, frozen_twin
from robustpeft.types.values import LATER, Axis, from_plain, to_plain

__all__ = [
    "COMPONENTS",
    "COUNT",
    "L1",
    "LATER",
    "STAGE_COMPONENTS",
    "L2",
    "THREATS",
    "Attackable",
    "Axis",
    "Batch",
    "Classifier",
    "Companion",
    "Foldable",
    "Interval",
    "Linf",
    "Noise",
    "PRECISIONS",
    "Patch",
    "Residual",
    "Seams",
    "Site",
    "Split",
    "Threat",
    "UserError",
    "attack_view",
    "check_fields",
    "check_images",
    "check_labels",
    "chosen_part",
    "content_ids",
    "derive_seed",
    "from_plain",
    "frozen_twin",
    "imports_allowed",
    "gives_gradients",
    "look_up",
    "name_of",
    "nearest_hint",
    "norm_text",
    "parse_norm",
    "passes_dtype",
    "ranks_within",
    "threat_of",
    "to_plain",
]

THREATS: Mapping[str, type[Threat]] = {"linf": Linf, "l2": L2, "l1": L1, "patch": Patch}
