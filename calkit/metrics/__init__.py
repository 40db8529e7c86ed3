"""Metrics: pure functions of summaries, each also a plain function of ``(y_true, y_proba)``."""

from calkit.metrics.base import (
    METRICS,
    GroupedValue,
    Metric,
    MetricDefinition,
    Recipe,
    available_metrics,
    get_metric,
    metric,
)
from calkit.metrics.binned import adaece, classwise_ece, ece, mce
from calkit.metrics.corp import corp_dsc, corp_mcb, corp_unc, refinement
from calkit.metrics.cumulative import atb, ks, kuiper
from calkit.metrics.debiased import ece_sweep, l1_debiased, l2_debiased
from calkit.metrics.decisions import aurc, decision_loss, e_aurc, ucal
from calkit.metrics.kernels import kde_ece, mmce, skce
from calkit.metrics.labelwise import tl_ece
from calkit.metrics.lipschitz import ls_ece, smcal
from calkit.metrics.murphy import (
    binned_refinement,
    murphy_rel,
    murphy_res,
    murphy_unc,
    murphy_wbc,
    murphy_wbv,
)
from calkit.metrics.norms import ace, over_confidence, rmsce, under_confidence
from calkit.metrics.outcomes import (
    confidence,
    confidence_correct,
    confidence_misclassified,
    entropy,
    entropy_correct,
    entropy_misclassified,
    nll_correct,
    nll_misclassified,
    p_true,
    p_true_correct,
    p_true_misclassified,
)
from calkit.metrics.scores import accuracy, brier, error, nll
from calkit.metrics.shared import SharedArguments
from calkit.metrics.skill import d2_brier, d2_nll, top_k
from calkit.metrics.smooth import smece
from calkit.metrics.tails import HighConfidence, high_confidence, s99, s99_accuracy
from calkit.metrics.thresholded import tace

__all__ = [
    "METRICS",
    "GroupedValue",
    "HighConfidence",
    "Metric",
    "MetricDefinition",
    "Recipe",
    "SharedArguments",
    "accuracy",
    "ace",
    "adaece",
    "atb",
    "aurc",
    "available_metrics",
    "binned_refinement",
    "brier",
    "classwise_ece",
    "confidence",
    "confidence_correct",
    "confidence_misclassified",
    "corp_dsc",
    "corp_mcb",
    "corp_unc",
    "d2_brier",
    "d2_nll",
    "decision_loss",
    "e_aurc",
    "ece",
    "ece_sweep",
    "entropy",
    "entropy_correct",
    "entropy_misclassified",
    "error",
    "get_metric",
    "high_confidence",
    "kde_ece",
    "ks",
    "kuiper",
    "l1_debiased",
    "l2_debiased",
    "ls_ece",
    "mce",
    "metric",
    "mmce",
    "murphy_rel",
    "murphy_res",
    "murphy_unc",
    "murphy_wbc",
    "murphy_wbv",
    "nll",
    "nll_correct",
    "nll_misclassified",
    "over_confidence",
    "p_true",
    "p_true_correct",
    "p_true_misclassified",
    "refinement",
    "rmsce",
    "s99",
    "s99_accuracy",
    "skce",
    "smcal",
    "smece",
    "tace",
    "tl_ece",
    "top_k",
    "ucal",
    "under_confidence",
]
