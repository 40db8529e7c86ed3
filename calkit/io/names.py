"""Names of arrays and what they say: the role of the array, and the split it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ROLES", "Meaning", "Role", "read_name"]

Role = Literal[
    "logits", "probs", "scores", "labels", "confidence", "correct", "predicted", "sample_weight", "class_names"
]

#: The words that name each role. "scores" are of a kind that the name leaves open.
ROLES: dict[Role, tuple[str, ...]] = {
    # Log-probabilities are logits: they differ from any others by a constant per row.
    "logits": (
        "logits",
        "logit",
        "logprobs",
        "logprob",
        "log_probs",
        "log_prob",
        "loglikelihoods",
        "loglikelihood",
        "log_likelihoods",
        "log_likelihood",
        "filtered_resps",
    ),
    "probs": (
        "probs",
        "prob",
        "proba",
        "probas",
        "probability",
        "probabilities",
        "softmax",
        "y_proba",
        "y_prob",
        "y_probs",
        "predict_proba",
        "p",
    ),
    "scores": ("scores", "score", "predictions", "outputs", "output", "y_score", "y_scores"),
    "labels": (
        "labels",
        "label",
        "label_ids",
        "y_true",
        "y",
        "targets",
        "target",
        "ground_truth",
        "gt",
        "true_labels",
        "true_label",
        "classes_true",
        "gold",
        "gold_index",
        "answer",
        "answer_index",
        "correct_answer",
    ),
    "confidence": ("confidence", "confidences", "conf", "confs"),
    "correct": ("correct", "is_correct", "correctness", "hit", "hits"),
    "predicted": (
        "pred",
        "preds",
        "predicted",
        "prediction",
        "y_pred",
        "predicted_label",
        "predicted_labels",
        "y_hat",
        "yhat",
    ),
    "sample_weight": ("sample_weight", "sample_weights", "weight", "weights"),
    "class_names": ("class_names", "classes", "label_names"),
}

_SPLITS = {
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "train": "train",
    "training": "train",
}

_WORDS: list[tuple[str, Role]] = sorted(
    ((word, role) for role, words in ROLES.items() for word in words), key=lambda item: -len(item[0])
)
_SEPARATORS = "_-./ "

# In titles of columns, words stand apart: "True label".
_SPACES = str.maketrans(" -", "__")


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Attributes
    ----------
    role : str
        One of :data:`ROLES`.
    split : str
        What stands before or after the role, in its usual spelling: ``"validation"`` for ``val_logits``; empty if
        nothing does.
    """

    role: Role
    split: str = ""


def read_name(name: str) -> Meaning | None:
    """Return what the name of an array says, or None if it says nothing.

    Examples
    --------
    >>> read_name("val_logits")
    Meaning(role='logits', split='validation')
    >>> read_name("y_test")
    Meaning(role='labels', split='test')
    >>> read_name("temperature") is None
    True
    """
    name = " ".join(name.split())
    word = name.lower().translate(_SPACES)
    for known, role in _WORDS:
        if word == known:
            return Meaning(role)
    for known, role in _WORDS:
        if word.endswith(known) and word[-len(known) - 1] in _SEPARATORS:
            return Meaning(role, _split(name[: -len(known) - 1]))
        if word.startswith(known) and word[len(known)] in _SEPARATORS:
            return Meaning(role, _split(name[len(known) + 1 :]))
    return None


def _split(text: str) -> str:
    return _SPLITS.get(text.lower(), text)


def canonical_split(split: str) -> str:
    """Return the usual spelling of a split: ``"validation"`` for ``"val"``."""
    return _split(split.strip())
