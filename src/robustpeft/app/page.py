"""Where does every control stand, and what does it call? The widgets, and nothing that could be computed without.

This module alone imports Gradio, and is imported only to make the page: Gradio reads the annotations of what it calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import gradio as gr

from robustpeft.app.choices import ATTACK_NAMES, NORMS, PERTURBATION_NAMES, Steps, range_of
from robustpeft.app.markup import notice_html
from robustpeft.app.records_view import RecordsView
from robustpeft.app.stage import LIVE_PASSES, Stage
from robustpeft.app.wish import CONTROLS, Picked, Wish, picked_from, read_wish
from robustpeft.errors import UserError
from robustpeft.perturbations import CORRUPTIONS
from robustpeft.report.wording import condition_name

__all__ = ["build_page", "static_text"]

_KIND_CHOICES = (
    ("An attack", "attack"),
    ("An information perturbation", "perturbation"),
    ("A common corruption", "corruption"),
)
_NORM_CHOICES = {"linf": "Linf", "l2": "L2", "l1": "L1", "patch": "A square patch"}
_HEAD = """<header class="rp-head"><h1>robustpeft</h1>
<p>See one image through several models, before and after an attack; and what audits counted over many.</p></header>"""
_UPLOAD = """<label class="rp-upload"><input type="file" accept="image/*">
<span>Your own picture: PNG, JPEG, WebP, GIF, BMP or TIFF, up to 20 MB and 50 million pixels. It stays in the memory of
this machine.</span></label>"""


def static_text(name: str) -> str:
    """Return a style sheet or script of this package."""
    return (files("robustpeft.app") / "static" / name).read_text(encoding="utf-8")


def build_page(stage: Stage) -> gr.Blocks:
    """Return the page."""
    blocks = gr.Blocks(title="robustpeft", analytics_enabled=False)
    with blocks:
        gr.HTML(_HEAD, apply_default_css=False, js_on_load=None)
        with gr.Tabs():
            with gr.Tab("Try it"):
                if stage.lineups:
                    _TryIt(stage, blocks)
                else:
                    text = "There is no finished run in these folders. robustpeft demo makes two in three minutes."
                    gr.HTML(notice_html(text, "note"), js_on_load=None)
            with gr.Tab("Records"):
                _records(stage, blocks)
    blocks.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return blocks


class _TryIt:
    """The first tab."""

    def __init__(self, stage: Stage, blocks: gr.Blocks) -> None:
        self.stage = stage
        self.wanted: dict[str, Wish | None] = {}  # what each open page wants by now
        self.told: dict[str, Wish | None] = {}  # what each open page last heard about
        families = list(stage.lineups)
        self.picked, self.page_number = gr.State(Picked()), gr.State(0)
        for problem in stage.problems[:5]:
            gr.HTML(notice_html(f"Left out: {problem}", "note"), js_on_load=None)
        with gr.Row(elem_classes="rp-columns"):
            with gr.Column(scale=2, min_width=300, elem_classes="rp-controls"):
                self._choose_models(families)
                self._choose_image(families[0])
                self._choose_question()
            with gr.Column(scale=5, min_width=300):
                self.progress = gr.HTML("", apply_default_css=False, js_on_load=None, elem_id="rp-course")
                self.answer = gr.HTML("", apply_default_css=False, js_on_load=None, elem_id="rp-answer")
        self._wire(blocks)

    def _choose_models(self, families: list[str]) -> None:
        several = len(families) > 1
        self.family = gr.Dropdown(families, value=families[0], label="Backbone", visible=several, filterable=False)
        self.labels = gr.CheckboxGroup(
            list(self.stage.lineup(families[0]).labels),
            value=list(self.stage.usual_labels(families[0])),
            label="Models side by side",
        )

    def _choose_image(self, family: str) -> None:
        with gr.Column(elem_classes="rp-image"):
            gr.HTML("<h2>Image</h2>", apply_default_css=False, js_on_load=None)
            examples = self.stage.examples(family, 0, Picked())
            self.examples = gr.HTML(examples, apply_default_css=False, js_on_load=static_text("examples.js"))
            self.others = gr.Button("Other examples", size="sm")
            self.upload = gr.HTML(_UPLOAD, apply_default_css=False, js_on_load=static_text("upload.js"))
            self.trouble = gr.HTML("", apply_default_css=False, js_on_load=None, elem_id="rp-trouble")

    def _choose_question(self) -> None:
        self.kind = gr.Radio(list(_KIND_CHOICES), value="attack", label="What happens to the image")
        with gr.Group() as self.of_attack:
            named = [(condition_name(name), name) for name in ATTACK_NAMES]
            self.attack = gr.Dropdown(named, value="pgd", label="Attack", filterable=False)
            self.norm = gr.Radio([(_NORM_CHOICES.get(n, n), n) for n in NORMS], value="linf", label="Norm")
            threat = next((run.threat for run in next(iter(self.stage.lineups.values())).runs if run.threat), None)
            epsilon = float(threat["epsilon"]) if threat is not None and threat["norm"] == "linf" else None
            self.epsilon = self._slider("attack", "linf", epsilon)
            self.steps = gr.Slider(1, 100, value=20, step=1, label="Steps")
        with gr.Group(visible=False) as self.of_perturbation:
            named = [(condition_name(name), name) for name in PERTURBATION_NAMES]
            self.perturbation = gr.Dropdown(named, value="patch_drop", label="Perturbation", filterable=False)
            self.strength = self._slider("perturbation", "patch_drop")
        with gr.Group(visible=False) as self.of_corruption:
            named = [(condition_name(name), name) for name in CORRUPTIONS]
            self.corruption = gr.Dropdown(named, value="fog", label="Corruption", filterable=False)
            self.severity = self._slider("corruption", "fog")
        self.seed = gr.Number(0, label="Seed of all chance", precision=0, minimum=0, maximum=2**31 - 1)
        with gr.Row():
            self.run = gr.Button("Run", variant="primary")
            self.stop = gr.Button("Stop")

    def _slider(self, kind: Any, name: str, usual: float | None = None) -> gr.Slider:
        return gr.Slider(**_slider_fields(kind, name, usual))

    def _wire(self, blocks: gr.Blocks) -> None:
        controls = [getattr(self, name) for name in CONTROLS]
        inputs = [self.family, self.labels, self.picked, *controls]
        outputs = [self.progress, self.answer]
        live: dict[str, Any] = {
            "fn": self._live,
            "inputs": inputs,
            "outputs": outputs,
            "trigger_mode": "always_last",
            "show_progress": "hidden",
            "concurrency_limit": 1,
            "concurrency_id": "models",
            "api_visibility": "private",
        }
        # Through the queue, never past it: Gradio's route for calls past the queue is closed.
        quick: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
        moved: list[Any] = [
            self.labels,
            self.epsilon,
            self.strength,
            self.severity,
            self.steps,
            self.seed,
            self.corruption,
        ]
        triggers = [control.change for control in moved]
        gr.on(triggers, self._want, inputs, None, **quick)
        gr.on(triggers, **live)
        blocks.load(**live)
        shown = [self.of_attack, self.of_perturbation, self.of_corruption]
        self.kind.change(self._show_kind, self.kind, shown, **quick).then(**live)
        self.attack.change(self._fit_steps, self.attack, self.steps, **quick).then(**live)
        self.norm.change(lambda norm: _moved("attack", norm), self.norm, self.epsilon, **quick).then(**live)
        self.perturbation.change(
            lambda name: _moved("perturbation", name), self.perturbation, self.strength, **quick
        ).then(**live)
        image = [self.picked, self.examples, self.trouble]
        self.examples.click(self._pick, [self.family, self.page_number], image, **quick).then(**live)
        self.upload.upload(self._take, [self.family, self.page_number, self.picked], image, **quick).then(**live)
        self.others.click(
            self._turn, [self.family, self.page_number, self.picked], [self.page_number, self.examples], **quick
        )
        self.family.change(self._change_family, self.family, [self.labels, self.page_number, *image], **quick).then(
            **live
        )
        self.run.click(self._run, inputs, outputs, **{k: live[k] for k in live if k not in ("fn", "inputs", "outputs")})
        self.stop.click(self._stop, None, None, **quick)
        blocks.unload(self._forget)

    def _read(self, family: str, labels: list[str], picked: Picked, *controls: Any) -> Wish:
        return read_wish(family, labels, picked, dict(zip(CONTROLS, controls, strict=True)))

    def _want(self, request: gr.Request, *values: Any) -> None:
        """Note what is wanted by now, so that a search for something else ends."""
        try:
            self.wanted[str(request.session_hash)] = self._read(*values)
        except UserError:
            self.wanted[str(request.session_hash)] = None

    def _live(self, request: gr.Request, *values: Any) -> Iterator[Any]:
        """Answer at once what is quick; of the rest say how long it is."""
        yield from self._perform(values, str(request.session_hash), wait=True)

    def _run(self, request: gr.Request, *values: Any) -> Iterator[Any]:
        yield from self._perform(values, str(request.session_hash), wait=False)

    def _perform(self, values: tuple[Any, ...], session: str, *, wait: bool) -> Iterator[Any]:
        try:
            wish = self._read(*values)
            told, self.told[session] = self.told.get(session), wish
            if wait and not self.stage.is_live(wish):
                if told == wish:  # a late word of the control moved before Run: its answer stands
                    yield gr.skip(), gr.skip()
                    return
                text = f"This takes more than {LIVE_PASSES} looks at each model. Press Run to begin; Stop ends it."
                yield notice_html(text, "note"), gr.skip()
                return
        except UserError as error:
            self.told[session] = None
            yield notice_html(str(error)), gr.skip()
            return
        self.wanted[session] = wish

        def still_wanted() -> bool:
            wanted = self.wanted.get(session)
            # What follows a slider is short, and a word of an older wish may come after it: only Stop ends it.
            return wanted is not None if wait else wanted == wish

        for progress, answer in self.stage.perform(wish, still_wanted):
            yield progress, gr.skip() if answer is None else answer

    def _stop(self, request: gr.Request) -> None:
        self.wanted[str(request.session_hash)] = None

    def _forget(self, request: gr.Request) -> None:
        self.wanted.pop(str(request.session_hash), None)
        self.told.pop(str(request.session_hash), None)

    def _show_kind(self, kind: str) -> Any:
        return [gr.update(visible=kind == of) for _, of in _KIND_CHOICES]

    def _fit_steps(self, attack: str) -> Any:
        steps = Steps.of(attack)
        if steps is None:
            return gr.update(visible=False)
        most = 5000 if steps.field == "queries" else 100
        usual = min(steps.usual, most)
        return gr.update(visible=True, maximum=most, value=usual, label=steps.field.capitalize())

    def _pick(self, family: str, page: int, event: gr.EventData) -> Any:
        try:
            picked = picked_from(getattr(event, "pick", None))
        except UserError as error:
            return gr.skip(), gr.skip(), notice_html(str(error))
        return picked, self.stage.examples(family, page, picked), ""

    def _take(self, family: str, page: int, before: Picked, event: gr.EventData) -> Any:
        token = getattr(event, "token", None)
        if not isinstance(token, str):
            problem = str(getattr(event, "problem", None) or "it did not arrive")
            return gr.skip(), gr.skip(), notice_html(f"This picture cannot be shown: {problem}.")
        picked = Picked(token=token)
        return picked, self.stage.examples(family, page, picked), ""

    def _turn(self, family: str, page: int, picked: Picked) -> Any:
        return page + 1, self.stage.examples(family, page + 1, picked)

    def _change_family(self, family: str) -> Any:
        labels = gr.update(choices=list(self.stage.lineup(family).labels), value=list(self.stage.usual_labels(family)))
        return labels, 0, Picked(), self.stage.examples(family, 0, Picked()), ""


def _slider_fields(kind: Any, name: str, usual: float | None = None) -> dict[str, Any]:
    reach = range_of(kind, name)
    value = reach.usual if usual is None else min(usual * reach.unit, reach.high)
    return {"minimum": reach.low, "maximum": reach.high, "step": reach.step, "value": value, "label": reach.label}


def _moved(kind: Any, name: str) -> Any:
    return gr.update(**_slider_fields(kind, name))


def _records(stage: Stage, blocks: gr.Blocks) -> None:
    """Lay out the second tab."""
    view = gr.State(RecordsView())
    with gr.Row(elem_classes="rp-filter"):
        text = gr.Textbox(label="Filter", placeholder="words that a record must hold", scale=4, min_width=280)
        compare = gr.Button("Compare chosen", variant="primary", scale=1)
        again = gr.Button("Look again", scale=1)
    table = gr.HTML("", apply_default_css=False, js_on_load=static_text("records.js"), elem_id="rp-records")
    comparison = gr.HTML("", apply_default_css=False, js_on_load=None, elem_id="rp-comparison")
    quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def clicked(view: RecordsView, event: gr.EventData) -> Any:
        changed = view.after(getattr(event, "sort", None), getattr(event, "choose", None))
        return changed, stage.records(changed)

    def filtered(view: RecordsView, text: str) -> Any:
        changed = view.filtered(text)
        return changed, stage.records(changed)

    blocks.load(stage.records, view, table, **quick)
    again.click(stage.records, view, table, **quick)
    table.click(clicked, view, [view, table], **quick)
    text.change(filtered, [view, text], [view, table], trigger_mode="always_last", **quick)
    compare.click(lambda view: stage.comparison(view.chosen), view, comparison, **quick)
