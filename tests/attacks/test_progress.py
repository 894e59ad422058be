from robustpeft.attacks import PGD, Stage
from robustpeft.attacks.progress import Progress, Teller
from robustpeft.records import LedgerRow


def row(image, run, broken=False):
    return LedgerRow(image, "s", run, broken, 0, 0, 0.0)


def test_an_image_is_done_when_it_breaks_or_its_last_run_ends():
    heard = []
    stage = Stage(0, 0, 0, PGD(), "0.pgd")
    tell = Teller(heard.append, Progress(stage, 1, 2, 0, 4, 0, 7), runs=3)
    tell([row(1, 0), row(2, 0, broken=True)])
    tell([row(1, 1), row(3, 2), row(4, 2, broken=True)])
    tell.end()
    assert [(p.done, p.broken, p.correct, p.ended) for p in heard] == [
        (1, 1, 6, False),
        (3, 2, 5, False),
        (3, 2, 5, True),
    ]
    assert {(p.stage, p.number, p.stages, p.images) for p in heard} == {(stage, 1, 2, 4)}


def test_nobody_need_listen():
    tell = Teller(None, Progress(Stage(0, 0, 0, PGD(), "0.pgd"), 1, 1, 0, 1, 0, 1), runs=1)
    tell([row(1, 0)])
    tell.end()
