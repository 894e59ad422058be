"""What does a person read who finds an adapter? Its model card."""

from __future__ import annotations

from robustpeft.pet import METHOD_AXIS, AdapterHandle
from robustpeft.types import to_plain

__all__ = ["model_card"]


def model_card(handle: AdapterHandle) -> str:
    """Return the README of a run: what it is, how to use it, what it was tuned for, what it does not promise."""
    model, tuning = handle.model, handle.model.tuning
    method = to_plain(handle.method, (METHOD_AXIS,))
    total = sum(p.numel() for p in model.parameters())
    threat = str(model.threat) if model.threat else "none: this model was tuned without an adversary"
    scores = tuning["validation"]
    return f"""---
library_name: robustpeft
base_model: {model.name}
base_model_relation: adapter
pipeline_tag: image-classification
---

# {method["name"]} on {model.name} for {tuning["data"]}

- Technique: `{handle.method!r}`
- Trained parameters: {handle.num_parameters:,} of {total:,} ({handle.num_parameters / total:.2%}),
  {handle.num_parameters - handle.num_head_parameters:,} without the head
- Tuned for the threat: {threat}
- Images: {tuning["data"]} ({tuning["num_train"]:,} for tuning). {tuning["data_note"]}
- Validation ({scores["n"]} images, used to choose the epoch, so optimistic): {scores["clean"]} right on clean images,
  {scores["robust"]} under the attack of selection
- Classes: {", ".join(model.classes[:20])}{", ..." if len(model.classes) > 20 else ""}

## Use

```python
import robustpeft as rp

model = rp.load(".")            # images (b, 3, h, w) in [0, 1] -> logits
logits = model(images)          # model.transform(PIL image) makes one image; model.classes names the classes
```

## Limits

Robust accuracy is an upper bound found by the attacks that were run, within the threat named above, at a resolution of
{model.image_size} pixels. Other attacks, other norms and other changes of the image are not covered. Run
`robustpeft audit` before relying on it; what audits counted stands in `robustpeft.json`. Taking the adapter off
(`model.attachments[0].detach()`) gives back the frozen model.
"""
