"""What is to be cited? BibTeX of exactly the techniques, attacks, objectives, networks and data of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robustpeft.records import AuditRecord
from robustpeft.report.study.summary import GridSummary

__all__ = ["WORKS", "cited"]

_INPROCEEDINGS: Mapping[str, tuple[str, str, str, int]] = {
    "fgsm": (
        "Explaining and Harnessing Adversarial Examples",
        "Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian",
        "International Conference on Learning Representations",
        2015,
    ),
    "pgd": (
        "Towards Deep Learning Models Resistant to Adversarial Attacks",
        "Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian",
        "International Conference on Learning Representations",
        2018,
    ),
    "autoattack": (
        "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks",
        "Croce, Francesco and Hein, Matthias",
        "International Conference on Machine Learning",
        2020,
    ),
    "trades": (
        "Theoretically Principled Trade-off between Robustness and Accuracy",
        "Zhang, Hongyang and Yu, Yaodong and Jiao, Jiantao and Xing, Eric P. and El Ghaoui, Laurent and Jordan, "
        "Michael I.",
        "International Conference on Machine Learning",
        2019,
    ),
    "mart": (
        "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        "Wang, Yisen and Zou, Difan and Yi, Jinfeng and Bailey, James and Ma, Xingjun and Gu, Quanquan",
        "International Conference on Learning Representations",
        2020,
    ),
    "lora": (
        "{LoRA}: Low-Rank Adaptation of Large Language Models",
        "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and "
        "Wang, Lu and Chen, Weizhu",
        "International Conference on Learning Representations",
        2022,
    ),
    "adapter": (
        "Parameter-Efficient Transfer Learning for {NLP}",
        "Houlsby, Neil and Giurgiu, Andrei and Jastrzebski, Stanislaw and Morrone, Bruna and de Laroussilhe, Quentin "
        "and Gesmundo, Andrea and Attariyan, Mona and Gelly, Sylvain",
        "International Conference on Machine Learning",
        2019,
    ),
    "adaptformer": (
        "{AdaptFormer}: Adapting Vision Transformers for Scalable Visual Recognition",
        "Chen, Shoufa and Ge, Chongjian and Tong, Zhan and Wang, Jiangliu and Song, Yibing and Wang, Jue and Luo, Ping",
        "Advances in Neural Information Processing Systems",
        2022,
    ),
    "vpt": (
        "Visual Prompt Tuning",
        "Jia, Menglin and Tang, Luming and Chen, Bor-Chun and Cardie, Claire and Belongie, Serge and Hariharan, "
        "Bharath and Lim, Ser-Nam",
        "European Conference on Computer Vision",
        2022,
    ),
    "ssf": (
        "Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning",
        "Lian, Dongze and Zhou, Daquan and Feng, Jiashi and Wang, Xinchao",
        "Advances in Neural Information Processing Systems",
        2022,
    ),
    "bitfit": (
        "{BitFit}: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
        "Ben Zaken, Elad and Goldberg, Yoav and Ravfogel, Shauli",
        "Annual Meeting of the Association for Computational Linguistics",
        2022,
    ),
    "vit": (
        "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
        "Dosovitskiy, Alexey and Beyer, Lucas and Kolesnikov, Alexander and Weissenborn, Dirk and Zhai, Xiaohua and "
        "Unterthiner, Thomas and Dehghani, Mostafa and Minderer, Matthias and Heigold, Georg and Gelly, Sylvain and "
        "Uszkoreit, Jakob and Houlsby, Neil",
        "International Conference on Learning Representations",
        2021,
    ),
    "patch_shuffle": (
        "Intriguing Properties of Vision Transformers",
        "Naseer, Muzammal and Ranasinghe, Kanchana and Khan, Salman and Hayat, Munawar and Khan, Fahad Shahbaz and "
        "Yang, Ming-Hsuan",
        "Advances in Neural Information Processing Systems",
        2021,
    ),
}
_OTHERS: dict[str, str] = {
    "fulllora": "@article{fulllora, title={{FullLoRA}: Efficiently Boosting the Robustness of Pretrained Vision "
    "Transformers}, author={Yuan, Zheng and Zhang, Jie and Shan, Shiguang and Chen, Xilin}, journal={IEEE Transactions "
    "on Image Processing}, volume={34}, pages={4580--4590}, year={2025}}",
    "vtab": "@article{vtab, title={A Large-scale Study of Representation Learning with the Visual Task Adaptation "
    "Benchmark}, author={Zhai, Xiaohua and Puigcerver, Joan and Kolesnikov, Alexander and Ruyssen, Pierre and others}, "
    "journal={arXiv:1910.04867}, year={2019}}",
    "cifar": "@techreport{cifar, title={Learning Multiple Layers of Features from Tiny Images}, author={Krizhevsky, "
    "Alex}, institution={University of Toronto}, year={2009}}",
    "imagenette": "@misc{imagenette, title={Imagenette}, author={Howard, Jeremy}, "
    "howpublished={https://github.com/fastai/imagenette}, year={2019}}",
    "timm": "@misc{timm, title={{PyTorch} Image Models}, author={Wightman, Ross}, "
    "howpublished={https://github.com/huggingface/pytorch-image-models}, year={2019}}",
    "digits": "@misc{digits, title={Optical Recognition of Handwritten Digits}, author={Alpaydin, E. and Kaynak, C.}, "
    "howpublished={UCI Machine Learning Repository}, year={1998}}",
}

WORKS: Mapping[str, str] = {
    key: f"@inproceedings{{{key}, title={{{title}}}, author={{{author}}}, booktitle={{{where}}}, year={{{year}}}}}"
    for key, (title, author, where, year) in _INPROCEEDINGS.items()
} | _OTHERS
"""BibTeX by key; what has no work of its own is not here."""

_SAME = {
    "apgd": "autoattack",
    "pgd_at": "pgd",
    "single_step": "fgsm",
    "lnlora": "fulllora",
    "peft_lora": "lora",
    "patch_drop": "patch_shuffle",
}


def cited(grids: Sequence[GridSummary]) -> tuple[str, ...]:
    """Return the BibTeX of what the arms of these grids used, each once, in the order in which they used it."""
    used = [word for grid in grids for summary in grid.arms for word in _of_method(summary.method)]
    used += [str((summary.objective or {}).get("name", "")) for grid in grids for summary in grid.arms]
    used += [word for grid in grids for word in _of_audit(grid.example)]
    keys = dict.fromkeys(_SAME.get(word, word) for word in used)
    return tuple(WORKS[key] for key in keys if key in WORKS)


def _of_method(method: Mapping[str, Any] | None) -> Iterable[str]:
    """Return the names of a technique and of those that it is a sum of."""
    if method is None:
        return
    yield str(method.get("name", ""))
    for part in method.get("methods", ()):
        yield from _of_method(part)


def _of_audit(record: AuditRecord) -> Iterable[str]:
    yield from (m.name for m in record.measurements)
    if "vit" in record.subject.backbone:
        yield "vit"
    if record.subject.backbone != "digits_vit":
        yield "timm"
    data = record.data.name.lower()
    yield from (key for key in ("vtab", "cifar", "imagenette", "digits") if key in data)
