"""How does a folder of somebody's own photographs become an experiment? Looked at, asked about, written as a recipe."""

from robustpeft.study.photographs.begin import Begun, begin
from robustpeft.study.photographs.questions import Given, Question

__all__ = ["Begun", "Given", "Question", "begin"]
