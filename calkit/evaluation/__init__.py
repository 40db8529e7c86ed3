"""All metrics of some predictions: which are asked for, what is counted for them, and the values."""

from calkit.evaluation.asked import DEFAULT_METRICS, asked_metrics, choose_metrics
from calkit.evaluation.compute import evaluate
from calkit.evaluation.parts import with_groups
from calkit.evaluation.result import Evaluation, LabelErrors, fitted_text, p_text
from calkit.evaluation.values import as_resampling, evaluation_of, judgements_of, statistics_of
from calkit.evaluation.worst import WorstGroup

__all__ = [
    "DEFAULT_METRICS",
    "Evaluation",
    "LabelErrors",
    "WorstGroup",
    "as_resampling",
    "asked_metrics",
    "choose_metrics",
    "evaluate",
    "evaluation_of",
    "fitted_text",
    "judgements_of",
    "p_text",
    "statistics_of",
    "with_groups",
]
