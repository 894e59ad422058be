"""Slots carry every image through its search as if it were alone, and none waits while a place is free.

One file, though long: every test seats the same jobs of the same little searches and reads the same reports.
"""

import dataclasses
import types

import pytest
import torch

import robustpeft.attacks.slots as module
from robustpeft.attacks import Course, Judge, Query, Search, State, Target
from robustpeft.attacks.jobs import Job, Work
from robustpeft.attacks.slots import Slots
from robustpeft.errors import UserError
from robustpeft.types import Linf, Noise

HERE = Linf(0.1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen(State):
    """Counts the looks."""

    points: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Stroll(Search[Seen]):
    """Looks at random points: what it sees depends on image, run and pass, and it can end early."""

    passes: int = 5
    runs: int = 1
    early: int = 99
    unseen_end: bool = False
    reach: float = 0.1
    inside: bool = True

    cost = "passes"

    def course(self, classes):
        return Course(self.passes, self.runs, unseen_end=self.unseen_end, inside=self.inside)

    def init(self, target):
        return Seen(
            step=torch.zeros_like(target.labels), done=torch.zeros_like(target.labels) > 0, points=target.images
        )

    def propose(self, target, state):
        if self.unseen_end:
            return Query(state.points)
        return Query(self._moved(target))

    def update(self, target, state, reply):
        step = state.step + 1
        return Seen(step=step, done=step >= self.early, points=self._moved(target))

    def _moved(self, target):
        return target.images + self.reach * (2 * target.noise.uniform((3, 4, 4)) - 1)


class Brightness:
    """Class 1 if the first pixel is brighter than in the image by a threshold; counts what it is asked."""

    def __init__(self, above):
        self.above, self.seen = above, []

    def __call__(self, images):
        self.seen.append(images)
        score = images[:, 0, 0, 0] - 0.5 - self.above
        return torch.stack([torch.zeros_like(score), score], dim=1)


def work(search, view, width=3, judge=None):
    return Work(view, Judge(judge or view, width), search, "s", "0.x@linf 0.1", HERE, 5, 2, width)


def jobs(number, runs_done=0):
    return [
        Job(torch.full((3, 4, 4), 0.5), 0, 10 + place, torch.tensor([1.0, 0]), run=runs_done) for place in range(number)
    ]


def run(what, todo):
    found = []
    slots = Slots(what, iter(todo), found.extend)
    slots.run()
    return slots, {(each.row.image, each.row.run): each for each in found}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("runs", [1, 2])
def test_a_search_that_finds_nothing_takes_every_pass_of_every_run(number, runs):
    view = Brightness(1.0)
    slots, found = run(work(Stroll(runs=runs), view), jobs(number))
    assert found.keys() == {(10 + place, turn) for place in range(number) for turn in range(runs)}
    assert all((each.row.forwards, each.row.broken, each.point) == (5, False, None) for each in found.values())
    assert slots.passes == 5 * runs * -(-number // 3)
    assert {len(points) for points in view.seen} == {3}
    assert slots.passes * 3 - slots.idle == number * runs * 5


def test_what_an_image_is_shown_depends_on_its_run_and_pass_and_not_on_its_company():
    shown = {}
    for number in (1, 3, 7):
        view = Brightness(0.08)
        _, found = run(work(Stroll(passes=40, runs=2), view), jobs(number))
        for key, each in found.items():
            row = dataclasses.replace(each.row, seconds=0)
            assert shown.setdefault(key, row) == row
    assert {row.broken for row in shown.values()} == {True, False}
    assert len({row.step for row in shown.values()}) > 2


def test_an_image_that_breaks_has_the_point_the_step_and_the_norm():
    view = Brightness(0.05)
    _, found = run(work(Stroll(passes=40), view), jobs(5))
    for each in found.values():
        assert each.row.broken
        assert each.point[0, 0, 0] > 0.55
        assert each.row.norm == float((each.point.double() - 0.5).abs().max())
        assert each.row.forwards == each.row.step + 1
        assert each.row.margin == pytest.approx(float(each.point[0, 0, 0]) - 0.55, abs=1e-6)


def test_the_margin_of_an_image_that_holds_is_the_largest_that_was_seen():
    view = Brightness(1.0)
    _, found = run(work(Stroll(passes=9), view), jobs(3))
    seen = torch.stack([points[:, 0, 0, 0] - 0.5 - 1.0 for points in view.seen])
    assert [found[image, 0].row.margin for image in (10, 11, 12)] == seen.amax(0).tolist()


def test_a_run_that_has_nothing_left_to_do_ends_there():
    _, found = run(work(Stroll(early=2), Brightness(1.0)), jobs(4))
    assert {each.row.forwards for each in found.values()} == {2}


@dataclasses.dataclass(frozen=True)
class Uneven(Stroll):
    """Is over after 2 to 6 passes, by the id of the image."""

    def update(self, target, state, reply):
        step = state.step + 1
        return Seen(step=step, done=step >= 2 + target.noise.ids % 5, points=state.points)


def test_nobody_waits_while_a_slot_is_free():
    slots, _ = run(work(Uneven(passes=9, runs=2), Brightness(1.0)), jobs(7))
    ends = [0, 0, 0]
    for image in range(10, 17):  # its second run takes the slot of its first one, and the next image the first free one
        ends[ends.index(min(ends))] += 2 * (2 + image % 5)
    assert slots.passes == max(ends)


def test_the_end_that_nobody_saw_is_shown_to_the_judge_alone():
    view = Brightness(0.0)
    _, found = run(work(Stroll(passes=2, unseen_end=True), view), jobs(8))
    assert {each.row.broken for each in found.values()} == {True, False}
    assert {each.row.forwards for each in found.values()} == {3}
    for each in found.values():
        assert each.row.broken == (each.row.margin > 0)
        assert each.row.step == (2 if each.row.broken else 0)


def test_what_the_judge_refutes_goes_on_and_has_the_judges_margin():
    _, found = run(work(Stroll(passes=6), Brightness(-1.0), judge=Brightness(1.0)), jobs(4))
    for each in found.values():
        assert not each.row.broken
        assert each.row.forwards == 12
        assert -1.0 < each.row.margin < -0.9  # the clean image has -1, what the search saw is above 0


@dataclasses.dataclass(frozen=True)
class Told(Stroll):
    """Wants the labels alone, and looks whether that is all it is told."""

    def course(self, classes):
        return Course(self.passes, labels_only=True)

    def update(self, target, state, reply):
        assert {*reply.logits.flatten().tolist()} == {0.0, 1.0}
        return super().update(target, state, reply)


def test_who_asks_for_labels_alone_is_told_those_and_the_rest_is_as_ever():
    rows = [run(work(search(passes=20), Brightness(0.08)), jobs(5))[1] for search in (Told, Stroll)]
    one, other = ({key: dataclasses.replace(each.row, seconds=0) for key, each in found.items()} for found in rows)
    assert one == other


def test_what_lies_inside_is_a_success_only_where_it_is_wrong():
    _, found = run(work(Stroll(passes=6, inside=False), Brightness(1.0)), jobs(4))
    assert all((each.row.broken, each.row.forwards) == (False, 6) for each in found.values())  # the judge is not asked


@dataclasses.dataclass(frozen=True)
class Drift(Stroll):
    """Draws where it ends."""

    def propose(self, target, state):
        assert target.images.shape == state.points.shape
        return Query(self._moved(target))


@pytest.mark.parametrize("passes", [1, 3])
def test_an_end_that_is_drawn_is_the_one_it_has_without_slots(passes):
    search, view = Drift(passes=passes, unseen_end=True), Brightness(1.0)
    _, found = run(work(search, view, judge=Brightness(-1.0)), jobs(2))
    images = torch.full((2, 3, 4, 4), 0.5)
    ends = search.search(view, Target(images, torch.zeros(2).long(), HERE, Noise(5, torch.tensor([10, 11]), "s")))
    for end, image in zip(ends, (10, 11), strict=True):
        assert torch.equal(found[image, 0].point, end)


def test_the_seconds_of_the_rows_are_those_of_passes_and_verdicts_and_shared_evenly(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def lasting(seconds, answer):
        def view(images):
            now[0] += seconds
            return answer(images)

        return view

    search, wrong, right = Stroll(passes=6), Brightness(-1.0), Brightness(1.0)
    for number, judged in ((1, False), (3, False), (3, True), (5, True)):
        now[0] = 7.0
        what = work(search, lasting(1.0, wrong if judged else right), judge=lasting(10.0, right))
        _, found = run(what, jobs(number))
        seconds = [each.row.seconds for each in found.values()]
        assert sum(seconds) == pytest.approx(now[0] - 7.0, abs=1e-5)
        if number <= 3:
            assert seconds == pytest.approx([6 * (11 if judged else 1) / number] * number, abs=1e-5)


def test_what_lies_outside_is_no_success_of_a_search_that_may_look_there():
    _, found = run(work(Stroll(passes=6, reach=0.3, inside=False), Brightness(-1.0)), jobs(4))
    assert not any(each.row.broken for each in found.values())
    assert all(each.row.margin == -1.0 for each in found.values())  # of the clean image


def test_a_search_that_leaves_the_ball_though_it_must_not_is_caught():
    with pytest.raises(RuntimeError, match="Stroll left the ball"):
        run(work(Stroll(reach=0.3), Brightness(-1.0)), jobs(4))


def test_idle_slots_mirror_one_that_is_busy():
    view = Brightness(1.0)
    run(work(Stroll(passes=4), view, width=4), jobs(1))
    assert len(view.seen) == 4
    for points in view.seen:
        assert torch.equal(points, points[:1].expand_as(points))


def test_what_is_not_finite_is_said_in_the_pass_in_which_it_occurs():
    view = Brightness(1.0)

    def ailing(images):
        logits = view(images)
        return logits / 0 if len(view.seen) == 3 else logits

    with pytest.raises(UserError, match="logits that are not finite"):
        run(work(Stroll(), ailing, judge=view), jobs(9))
    assert len(view.seen) == 3


@pytest.mark.parametrize("after", range(1, 14))
def test_unfinished_jobs_go_on_where_they_were(after):
    what = work(Stroll(passes=30, runs=2), Brightness(0.09))
    whole = run(what, jobs(5))[1]
    found, left, todo = [], [], iter(jobs(5))

    class StoppedError(Exception):
        pass

    def after_pass():
        if slots.passes >= after:
            left.extend(slots.unfinished())
            raise StoppedError

    slots = Slots(what, todo, found.extend)
    with pytest.raises(StoppedError):
        slots.run(after_pass)
    Slots(what, iter([*left, *todo]), found.extend).run()
    rows = {(each.row.image, each.row.run): dataclasses.replace(each.row, seconds=0) for each in found}
    assert rows == {key: dataclasses.replace(each.row, seconds=0) for key, each in whole.items()}
    assert len(found) == len(rows)


@dataclasses.dataclass(frozen=True)
class Wary(Stroll):
    """Needs a gradient at first only, and goes elsewhere where it was told none."""

    def course(self, classes):
        return Course(self.passes, self.runs, gradients=1, loss="margin")

    def propose(self, target, state):
        return Query(state.points)

    def update(self, target, state, reply):
        points = self._moved(target) if reply.gradient is not None else target.images + 0.06
        return Seen(step=state.step + 1, points=points)


def test_whether_it_is_told_a_gradient_does_not_depend_on_its_company():
    shown = {}
    for number in (1, 3, 9):
        _, found = run(work(Wary(passes=4, runs=2), Brightness(0.05)), jobs(number))
        for key, each in found.items():
            row = dataclasses.replace(each.row, seconds=0)
            assert shown.setdefault(key, row) == row
    assert {row.broken for row in shown.values()} == {True, False}


@dataclasses.dataclass(frozen=True)
class Alternate(Stroll):
    """Wants a gradient in every other pass only."""

    def course(self, classes):
        return Course(self.passes, self.runs, gradients=self.passes, every=2, loss="margin")


@pytest.mark.parametrize("number", [2, 3, 5])
def test_those_who_want_gradients_in_every_other_pass_take_them_together(number):
    forwards, backwards = [], []

    def view(images):
        forwards.append(1)
        if images.requires_grad:
            images.register_hook(lambda gradient: backwards.append(1))
        return torch.stack([images.sum((1, 2, 3)) * 0, -images.sum((1, 2, 3))], dim=1)

    slots, found = run(work(Alternate(passes=6, runs=2), view), jobs(number))
    assert {(each.row.forwards, each.row.backwards) for each in found.values()} == {(6, 3)}
    assert len(found) == 2 * number
    assert len(forwards) == slots.passes
    assert len(backwards) == slots.passes // 2


@dataclasses.dataclass(frozen=True)
class InStep(Alternate):
    """Looks whether the others are in step with it."""

    def propose(self, target, state):
        assert len({step % 2 for step in target.noise.step}) == 1
        return super().propose(target, state)


@pytest.mark.parametrize("passes", [5, 40])  # after 5 passes all slots are free, and the next gradient is due at once
@pytest.mark.parametrize("width", [1, 3])
def test_in_step_with_those_who_left_early_nobody_is_forgotten(passes, width):
    view = Brightness(above=0.09)
    what = work(InStep(passes, runs=2), lambda x: view(x) + 0 * x.sum((1, 2, 3))[:, None], width=width)
    alone = [run(what, [job])[1] for job in jobs(7)]
    _, found = run(what, jobs(7))
    assert found.keys() == {key for each in alone for key in each}
    for each in alone:
        for key, wanted in each.items():
            assert dataclasses.replace(found[key].row, seconds=0) == dataclasses.replace(wanted.row, seconds=0)
    assert {image for image, _ in found} == set(range(10, 17))
    if passes > 5:
        assert len({each.row.step for each in found.values() if each.row.broken}) > 2


def test_a_job_out_of_step_waits_for_its_turn():
    view = Brightness(above=9.0)
    left = []

    class Stop(Exception):  # noqa: N818
        pass

    def stop(slots, at):
        def after_pass():
            if slots.passes == at:
                left.extend(slots.unfinished())
                raise Stop

        return after_pass

    what = work(Alternate(passes=6), lambda images: view(images) + 0 * images.sum((1, 2, 3))[:, None])
    whole = run(what, jobs(4))[1]
    slots = Slots(what, iter(jobs(4)), lambda found: None)
    with pytest.raises(Stop):
        slots.run(stop(slots, 3))
    found = []
    Slots(what, iter([jobs(4)[3], *left]), found.extend).run()
    assert {each.row.image: dataclasses.replace(each.row, seconds=0) for each in found} == {
        image: dataclasses.replace(each.row, seconds=0) for (image, _), each in whole.items()
    }
