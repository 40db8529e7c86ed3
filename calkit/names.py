"""Names of arrays and columns and what they say: the role, and what stands beside it (a split, a class, a model).

:data:`ROLES` is the one dictionary of words, for arrays and columns alike, on the command line and in Python. Add to it
with :func:`add_words`; other packages do so by entry points of the group ``calkit.roles``, each a mapping from roles to
words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from calkit.errors import UsageError

__all__ = [
    "LOGARITHMS",
    "NEGATIVE_WORDS",
    "NO_CLASSES",
    "ROLES",
    "SCORE_ROLES",
    "ClassColumn",
    "Meaning",
    "Role",
    "add_words",
    "canonical_split",
    "class_words",
    "column_classes",
    "is_id",
    "is_reversed",
    "is_split",
    "is_whole_number",
    "read_class_column",
    "read_name",
]

Role = Literal[
    "logits",
    "probs",
    "scores",
    "labels",
    "confidence",
    "correct",
    "predicted",
    "sample_weight",
    "class_names",
    "split",
    "id",
    "group",
]

#: Roles of arrays that say how sure a classifier is.
SCORE_ROLES: tuple[Role, ...] = ("logits", "probs", "scores", "confidence")

#: The words that name each role, in lower case. "scores" are of a kind that the name leaves open.
ROLES: dict[Role, tuple[str, ...]] = {
    # Log-probabilities are logits: they differ from any others by a constant per row.
    "logits": (
        *("logits", "logit", "logprobs", "logprob", "log_probs", "log_prob", "log_proba", "log_probas", "log_softmax"),
        *("loglikelihoods", "loglikelihood", "log_likelihoods", "log_likelihood", "filtered_resps", "top_logprobs"),
    ),
    "probs": (
        *("probs", "prob", "proba", "probas", "probability", "probabilities", "softmax", "posterior", "posteriors"),
        *("y_pred_proba", "y_pred_prob", "y_pred_probs", "softmax_probs"),
        *("y_proba", "y_prob", "y_probs", "predict_proba", "pred_prob", "pred_probs", "pred_proba", "predicted_prob"),
        *("predicted_probs", "predicted_proba", "predicted_probability", "predicted_probabilities", "p", ".pred"),
    ),
    "scores": (*("scores", "score", "predictions", "outputs", "output", "y_score", "y_scores", "decision_function"),),
    "labels": (
        *("labels", "label", "label_ids", "y_true", "y", "targets", "target", "ground_truth", "gt", "truth"),
        *("true_labels", "true_label", "true_class", "true_classes", "classes_true", "gold", "gold_label"),
        *("gold_index", "answer", "answer_index", "answer_key", "correct_answer", "actual", "observed", "obs"),
        *("true", "class"),
    ),
    "confidence": ("confidence", "confidences", "conf", "confs"),
    "correct": (
        *("correct", "is_correct", "correctness", "hit", "hits", "tp", "exact_match", "em", "acc", "acc_norm"),
        *("is_right", "right"),
    ),
    "predicted": (
        *("pred", "preds", "predicted", "prediction", "y_pred", "predicted_label", "predicted_labels", "pred_label"),
        *("pred_labels", "predicted_class", "predicted_classes", "pred_class", "pred_classes", ".pred_class"),
        *("prediction_label", "y_hat", "yhat"),
    ),
    "sample_weight": ("sample_weight", "sample_weights", "weight", "weights", "case_weights"),
    "class_names": ("class_names", "classes", "label_names", "target_names"),
    "split": ("split", "fold", "subset", "partition"),
    "id": ("id", "ids", "index", "idx", "row_id", "sample_id", "uid", "uuid", "doc_id"),
    "group": ("group", "groups", "subgroup", "subgroups", "cohort"),
}

#: Words for logarithms of probabilities.
LOGARITHMS = frozenset(word for word in ROLES["logits"] if word.startswith("log") and not word.startswith("logit"))

# Beside these words they are those of a text that was written: "token_logprobs".
_OF_TEXT = frozenset(("token", "tokens", "cumulative", "cum", "sequence", "seq", "prompt"))

# Too general to mean anything beside other words: "true_positive_rate", "class_0", "set_id".
_ALONE = frozenset({"true", "class", "obs", "actual", "observed", "tp", "em", "acc", "right", "split", "fold", "subset",
                    "partition", "index", "idx"})  # fmt: skip

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

#: What is written of a row beside the scores of its classes, unless labels or the user call a class so.
NO_CLASSES = frozenset(
    (
        *("max", "min", "mean", "avg", "average", "sum", "total", "std", "stdev", "var", "variance", "median"),
        *("entropy", "margin", "gap", "diff", "delta", "ratio", "range", "energy", "norm", "logsumexp", "lse"),
        *("loss", "nll", "temperature", "temp", "scale", "threshold", "bias", "argmax", "rank", "value"),
        *("top", "top1", "top_1", "top5", "top_5", "pred", "predicted", "prediction", "target", "gt", "gold"),
        *("index", "idx", "conf", "confidence"),
    )
)

#: What a column of probabilities is called after if it is the forecast that nothing happens.
NEGATIVE_WORDS = frozenset(("no", "not", "non", "neg", "negative", "false", "wrong", "incorrect"))

SEPARATORS = "_-./ "
_SEPARATOR = re.compile(f"[{re.escape(SEPARATORS)}]")

# In titles of columns, words stand apart: "True label".
_SPACES = str.maketrans(" -", "__")

_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})")

# What may stand between the word and the class: "prob_class_3".
_CLASS_WORD = re.compile(r"(?:class|label|cls)[_\-. ]?(?=.)", re.IGNORECASE)


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Attributes
    ----------
    role : str
        One of :data:`ROLES`.
    split : str
        What stands before or after the role, in its usual spelling: ``"validation"`` for ``val_logits``; empty if
        nothing does. Of a column, it is a split only if it is a word for one (:func:`is_split`).
    """

    role: Role
    split: str = ""


@dataclass(frozen=True)
class ClassColumn:
    """A column that is one of several of the same kind: ``val_logit_cat``.

    Attributes
    ----------
    array : str
        What the columns have in common: ``"val_logit"``.
    role : str
    word : str
        What tells them apart: ``"cat"``.
    """

    array: str
    role: Role
    word: str


def add_words(role: Role, *words: str) -> None:
    """Let more words name a role.

    Parameters
    ----------
    role : str
        One of :data:`ROLES`.
    *words : str
        In any case.

    Raises
    ------
    UsageError
        If there is no such role, or a word names another one.

    Examples
    --------
    >>> add_words("labels", "gold_index")
    >>> read_name("val_gold_index")
    Meaning(role='labels', split='validation')
    """
    if role not in ROLES:
        raise UsageError(f"role must be one of {', '.join(ROLES)}, but is {role!r}.")
    known = _known()
    for word in words:
        lowered = word.lower().translate(_SPACES)
        if known.get(lowered, role) != role:
            raise UsageError(f"{word!r} names the {known[lowered]} already; it cannot name the {role} as well.")
        if lowered not in ROLES[role]:
            ROLES[role] = (*ROLES[role], lowered)
    _known.cache_clear()
    _ranks.cache_clear()
    _class_column.cache_clear()


@cache
def _plug_ins() -> None:
    """Add the words of other packages, once."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="calkit.roles"):
        for role, words in entry.load().items():
            add_words(role, *words)


@cache
def _known() -> dict[str, Role]:
    """Return the role of each word, the longest words first."""
    pairs = [(word, role) for role, words in ROLES.items() for word in words]
    return dict(sorted(pairs, key=lambda pair: -len(pair[0])))


@cache
def _ranks() -> dict[str, int]:
    return {word: rank for rank, word in enumerate(_known())}


@cache
def _class_column() -> re.Pattern[str]:
    """Return the pattern of ``val_logit_cat`` and ``prob3``: what stands before, the word, and the class."""
    roles: tuple[Role, ...] = (*SCORE_ROLES, "predicted")
    words = "|".join(re.escape(word).replace("_", r"[_\- ]") for word, role in _known().items() if role in roles)
    return re.compile(
        rf"(?P<array>(?:.*?[_\-. ])??(?P<word>{words}))(?:[_\-. ](?P<column>.+)|(?P<number>\d+))",
        # A line end in a name must not make it be searched over and over.
        re.IGNORECASE | re.DOTALL,
    )


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
    _plug_ins()
    name = " ".join(name.split())
    word = name.lower().translate(_SPACES)
    known = _known()
    if word in known:
        return Meaning(known[word])
    # No word of a role is longer than the first; of two in a name, the one that comes earlier among them counts.
    longest = len(next(iter(known)))
    head, tail = word[: longest + 1], word[-longest - 1 :]
    parts = [(tail[at.end() :], False) for at in _SEPARATOR.finditer(tail)]
    parts += [(head[: at.start()], True) for at in _SEPARATOR.finditer(head)]
    ranks = _ranks()
    found = [
        (ranks[part], first, part)
        for part, first in parts
        if part in known and (part not in _ALONE or _beside_split(word, part))
    ]
    if not found:
        return None
    _, first, part = min(found)
    if part in LOGARITHMS and not _OF_TEXT.isdisjoint(_SEPARATOR.split(word)):
        return None
    return Meaning(known[part], canonical_split(name[len(part) + 1 :] if first else name[: -len(part) - 1]))


def _beside_split(word: str, part: str) -> bool:
    """Tell whether nothing but a word for a split stands beside a part of a name."""
    rest = word.removesuffix(part).removeprefix(part)
    return rest != word and is_split(rest.strip(SEPARATORS))


def read_class_column(name: str) -> ClassColumn | None:
    """Return what the name of a column says, if it is a word for scores and a class; None if not.

    Examples
    --------
    >>> read_class_column("val_logit_cat")
    ClassColumn(array='val_logit', role='logits', word='cat')
    >>> read_class_column("p3")
    ClassColumn(array='p', role='probs', word='3')
    >>> read_class_column("pred_label") is None
    True
    """
    _plug_ins()
    match = _class_column().fullmatch(name)
    word = name.lower().translate(_SPACES)
    if match is None or word in _known():
        return None
    role = _known()[match["word"].lower().translate(_SPACES)]
    column = match["number"] or match["column"]
    if role == "predicted":
        # The answers of several models, or what else is known of an answer: "val_pred_label", "pred_conf".
        other = read_name(name)
        if column.lower() in _known() or (other is not None and other.role != "predicted"):
            return None
    return ClassColumn(match["array"], role, column)


def class_words(words: Iterable[str]) -> list[str]:
    """Return the names of classes without what all of them begin with: ``class_0, class_1`` are 0 and 1."""
    words = list(words)
    stripped = [_CLASS_WORD.sub("", word, count=1) if _CLASS_WORD.match(word) else word for word in words]
    return stripped if all(a != b for a, b in zip(words, stripped, strict=True)) else words


def column_classes(names: Sequence[Any]) -> tuple[Any, ...]:
    """Return the classes that the columns of a matrix of scores stand for.

    Columns that are named by a word for scores and a class (``prob_cat``, ``prob_1``) stand for that class, a number if
    it is a whole one; others are named by the class alone.

    Examples
    --------
    >>> column_classes(["prob_1", "prob_0"]), column_classes(["cat", "dog"])
    ((1, 0), ('cat', 'dog'))
    """
    found = [read_class_column(name) if isinstance(name, str) else None for name in names]
    columns = [column for column in found if column is not None and column.role in SCORE_ROLES]
    if len(columns) < len(names) or len({column.array for column in columns}) != 1:
        return tuple(names)
    words = class_words(column.word for column in columns)
    return tuple(int(word) if is_whole_number(word) else word for word in words)


def is_reversed(names: Sequence[Any]) -> bool:
    """Tell whether two classes are named yes and no, in this order, where labels 0 and 1 mean no and yes.

    Examples
    --------
    >>> is_reversed(["pos", "neg"]), is_reversed(["no", "yes"]), is_reversed(["True", "False"])
    (True, False, False)
    """
    words = [str(name).casefold() for name in names]
    negative = [word in NEGATIVE_WORDS for word in words]
    return negative == [False, True] and words != ["true", "false"]


def is_whole_number(word: str) -> bool:
    """Tell whether a word is a whole number as people write it: 7 and -1, not 007 or 1e3."""
    return _WHOLE_NUMBER.fullmatch(word) is not None


def is_split(word: str) -> bool:
    """Tell whether a word is one for a split.

    Examples
    --------
    >>> is_split("dev"), is_split("resnet")
    (True, False)
    """
    return word.strip().lower() in _SPLITS


def canonical_split(split: str) -> str:
    """Return the usual spelling of a split: ``"validation"`` for ``"val"``."""
    return _SPLITS.get(split.strip().lower(), split.strip())


def is_id(name: str) -> bool:
    """Return whether a column names its rows, of no split."""
    meaning = read_name(name)
    return meaning is not None and meaning.role == "id" and not meaning.split
