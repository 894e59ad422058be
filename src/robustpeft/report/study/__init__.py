"""How is a study shown? Tables, figures and sentences of a paper, from its records alone."""

from robustpeft.report.study.files import write_study_report

__all__ = ["write_study_report"]
