import torch

from robustpeft.attacks.jobs import Job
from robustpeft.records import LedgerRow


def test_a_job_begins_with_the_margin_of_the_clean_image_and_goes_on_with_its_own():
    clean = torch.tensor([1.0, 4.0, 3.0])
    job = Job(torch.zeros(3, 2, 2), 1, 7, clean)
    assert job.best == -1.0
    assert Job(job.image, 1, 7, clean, passes=2, best=-0.5).best == -0.5


def test_a_run_that_found_nothing_becomes_a_row():
    clean = torch.tensor([1.0, 4.0, 3.0])
    job = Job(torch.zeros(3, 2, 2), 1, 7, clean, 2, passes=5, forwards=6, backwards=5, seconds=0.12345678, best=-0.25)
    wanted = LedgerRow(7, "s", 2, False, 0, 1, -0.25, norm=0.0, forwards=6, backwards=5, seconds=0.123457)
    assert job.row("s") == wanted
