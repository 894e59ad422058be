"""What does a person read who finds an adapter? Its model card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustpeft.records import AuditRecord, Rate
from robustpeft.report.escaping import escaped
from robustpeft.report.headline import headline, publishable
from robustpeft.report.limits import limits
from robustpeft.report.markdown import table_markdown
from robustpeft.report.tables import headline_table
from robustpeft.report.wording import data_text, date_text, number_text, rate_text, technique_name, threat_text
from robustpeft.study.card_metadata import card_metadata

__all__ = ["CARD_FILE", "GENERATED", "is_generated", "model_card"]

CARD_FILE = "README.md"
GENERATED = (
    "<!-- Written by robustpeft, and anew after an audit or a push: delete this line to keep words of your own. -->"
)
_CLASSES_SHOWN = 20


def is_generated(card: str) -> bool:
    """Return whether a card is ours to write anew: nobody deleted the line that says so."""
    return GENERATED in card


def model_card(
    said: dict[str, Any], records: Sequence[AuditRecord] = (), *, name: str = ".", license_id: str | None = None
) -> str:
    """Return the card of a run: what it is, how to use and to switch it off, what audits found, what it cannot tell.

    Args:
        said: What the run says of itself, ``robustpeft.json``.
        records: Its audits; without one there are no numbers but those of validation, and the card says so.
        name: What `load` is to be given: ``user/name``, or a path.
        license_id: In the hub's words; None if nobody gave one.
    """
    tuning, backbone = said["tuning"], str(said["backbone_name"])
    technique = str(said["method"]["name"]).rpartition(":")[2]
    title = f"{technique} on {backbone} for {tuning['data']}"
    blocks = [
        f"---\n{card_metadata(said, records, title=title, license_id=license_id)}\n---",
        GENERATED,
        f"# {escaped(title)}",
        _facts(said),
        "## What audits found",
        *(_audited(record) for record in records),
    ]
    if not records:
        blocks.append("Nothing yet. Until `robustpeft audit` has run, nothing is known of its robustness.")
    blocks += [
        _selection(tuning["validation"], said["threat"] is not None),
        _use(name),
        _switching_off(backbone),
        _intended(said),
    ]
    blocks += ["## Limits", _limits(said, records)]
    return "\n\n".join(blocks) + "\n"


def _facts(said: dict[str, Any]) -> str:
    tuning, classes = said["tuning"], list(said["classes"])
    shown = ", ".join(classes[:_CLASSES_SHOWN]) + (", ..." if len(classes) > _CLASSES_SHOWN else "")
    trained, head, total = (said.get(key) for key in ("num_trained", "num_trained_head", "num_parameters"))
    size = f"{tuning.get('num_trained', 0):,}"
    if trained and total:
        size = f"{trained:,} of {total:,} ({trained / total:.2%}), {trained - head:,} without the head"
    lines = [
        f"Technique: {technique_name(said['method'])}",
        f"Trained parameters: {size}",
        f"Frozen network: {said['backbone_name']}, SHA-256 of its weights {said['backbone_digest'][:16]}...; another "
        "one is refused",
        f"Tuned for the threat: {_threat(said)}",
        f"Images: {tuning['data']} ({tuning['num_train']:,} for tuning). {tuning['data_note']}",
        f"Classes: {len(classes)}: {shown}",
    ]
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _threat(said: dict[str, Any]) -> str:
    threat = said["threat"]
    if threat is None:
        return "none, it was tuned without an adversary"
    if "epsilon" not in threat:
        return technique_name({"name": threat["norm"]} | threat)
    return f"{threat_text(threat['norm'], threat['epsilon'])}, in pixel units on [0, 1]"


def _selection(validation: dict[str, Any], adversarial: bool) -> str:
    n = validation["n"]
    counts = [f"{rate_text(Rate(validation['clean'], n))} on clean images"]
    if adversarial:
        counts.append(f"{rate_text(Rate(validation['robust'], n))} under the attack of selection")
    return f"On validation images, which chose the epoch, so that these are too kind: {escaped(' and '.join(counts))}."


def _audited(record: AuditRecord) -> str:
    blocks = [
        f"### {escaped(data_text(record.data))}, {date_text(record)}",
        f"**{escaped(headline(record).sentence)}**",
    ]
    if publishable([record]):
        blocks.append(table_markdown(headline_table([record])))
    if record.data.split != "test":
        blocks.append("These images chose the epoch: the numbers are too kind.")
    return "\n\n".join(blocks)


def _use(name: str) -> str:
    return f"""## Use

```python
import robustpeft as rp

model = rp.load("{name}")         # images (b, 3, h, w) in [0, 1] -> logits
image = model.transform(photo)    # a PIL image -> (3, h, w)
logits = model(image[None])
print(model.classes[logits.argmax()])
```

`pip install robustpeft`. The weights of the frozen network come from where they are published; nothing else is executed
or unpickled."""


def _switching_off(backbone: str) -> str:
    return f"""## Rolling back

Switching the adapter off gives back {escaped(backbone)}, bit for bit, for as long as it is off or for good:

```python
with model.disabled():
    before = model(image[None])

model.attachments[0].detach()
```"""


def _intended(said: dict[str, Any]) -> str:
    threat = said["threat"]
    purpose = (
        f"To sort images of the kind it was tuned on, {escaped(str(said['tuning']['data']))}, into the classes above"
    )
    if threat is None:
        return (
            f"## Intended use\n\n{purpose}. It was not tuned against an adversary, and is for comparison with what was."
        )
    radius = (
        f" up to {number_text(threat['epsilon'])} in {str(threat['norm']).capitalize()}" if "epsilon" in threat else ""
    )
    return f"""## Intended use

{purpose}, where somebody may change their pixels{radius} to be sorted otherwise. It is one layer of a defence, no
guarantee: do not let it alone decide what harms somebody when it is wrong."""


def _limits(said: dict[str, Any], records: Sequence[AuditRecord]) -> str:
    if records:
        sentences = list(dict.fromkeys(sentence for record in records for sentence in limits([record])))
    else:
        sentences = [
            "Robust accuracy is an upper bound found by the attacks that were run, within the threat named above. "
            "Other attacks, other norms and other changes of the image are not covered."
        ]
    size = said.get("image_size")
    if size:
        sentences.append(f"Epsilon holds at {size[0]} x {size[1]} pixels, before anything is resized.")
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)
