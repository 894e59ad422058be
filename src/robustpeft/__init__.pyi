from .attacks import (
    APGD as APGD,
    ATTACKS as ATTACKS,
    CW as CW,
    FAB as FAB,
    FGSM as FGSM,
    FMN as FMN,
    PGD as PGD,
    AutoAttack as AutoAttack,
    HardLabel as HardLabel,
    Square as Square,
)
from .auditing import AuditPlan as AuditPlan
from .backbones import (
    BACKBONES as BACKBONES,
    Backbone as Backbone,
    load_backbone as load_backbone,
    wrap as wrap,
)
from .data import DATASETS as DATASETS, load_data as load_data
from .errors import UserError as UserError
from .objectives import (
    ARDPRM as ARDPRM,
    AWP as AWP,
    FARE as FARE,
    MART as MART,
    OBJECTIVES as OBJECTIVES,
    TRADES as TRADES,
    Mix as Mix,
    Natural as Natural,
    Noisy as Noisy,
    PgdAt as PgdAt,
    SingleStep as SingleStep,
    Smoothing as Smoothing,
)
from .perturbations import (
    CORRUPTIONS as CORRUPTIONS,
    PERTURBATIONS as PERTURBATIONS,
    Corruption as Corruption,
    GaussianNoise as GaussianNoise,
    PatchDrop as PatchDrop,
    PatchShuffle as PatchShuffle,
    PixelDrop as PixelDrop,
    Rotation as Rotation,
    Translation as Translation,
    corruption_suite as corruption_suite,
)
from .pet import (
    METHODS as METHODS,
    PEFT as PEFT,
    PETROBUSTNESS as PETROBUSTNESS,
    SSF as SSF,
    VPT as VPT,
    Adapter as Adapter,
    AdapterBank as AdapterBank,
    AdapterPlus as AdapterPlus,
    AdaptFormer as AdaptFormer,
    BitFit as BitFit,
    Combined as Combined,
    Full as Full,
    FullLoRA as FullLoRA,
    LastBlocks as LastBlocks,
    LayerNormTuning as LayerNormTuning,
    LinearProbe as LinearProbe,
    LNLoRA as LNLoRA,
    LoRA as LoRA,
    NormsAndBiases as NormsAndBiases,
    PeftLoRA as PeftLoRA,
    PerHeadLoRA as PerHeadLoRA,
    RankRule as RankRule,
    load_adapter as load_adapter,
    rank_map as rank_map,
    share as share,
)
from .records import AuditRecord as AuditRecord, read_record as read_record, read_records as read_records
from .report import write_report as write_report
from .study import (
    Facts as Facts,
    Policy as Policy,
    Recipe as Recipe,
    Run as Run,
    audit as audit,
    audit_folder as audit_folder,
    export as export,
    find_learning_rate as find_learning_rate,
    gate as gate,
    introduce as introduce,
    load as load,
    predict as predict,
    pull as pull,
    push as push,
    read_policy as read_policy,
    read_recipe as read_recipe,
    save_attack as save_attack,
    transfer as transfer,
    tune as tune,
    verify as verify,
)
from .training import (
    AttackRamp as AttackRamp,
    EpsilonRamp as EpsilonRamp,
    Phase as Phase,
    TrainingPlan as TrainingPlan,
)
from .types import L1 as L1, L2 as L2, THREATS as THREATS, Linf as Linf, Patch as Patch

__version__: str
