"""What was true, of the arrays of a file: labels of the classes, of one event, or whether answers were right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calkit.containers.container import Container, Field, printable, side_by_side
from calkit.errors import InputError, UsageError
from calkit.labels import ClassIndex, TrueColumns, answers_match, as_correct, encode_labels, labels_in
from calkit.lazy import LazyArray, block_rows
from calkit.names import NEGATIVE_WORDS, class_words, is_whole_number, read_name
from calkit.roles.families import Classes, as_name, classes_of
from calkit.roles.hints import length_advice
from calkit.roles.resolve import Resolved
from calkit.roles.unnamed import settled

__all__ = ["EVERY", "Truth", "check_length", "file_classes", "pairs", "read_column", "truth_of"]

#: What the user says instead of the names of the classes if every column is one.
EVERY = ("*",)


@dataclass(frozen=True)
class Truth:
    """Labels as :class:`~calkit.Predictions` takes them.

    Attributes
    ----------
    y_true : array, TrueColumns or None
    class_names : tuple or None
    """

    y_true: Any = None
    class_names: tuple[Any, ...] | None = None


def label_field(found: Resolved) -> Field | None:
    """Return the labels; of several columns, one per class, the matrix that they make."""
    columns = _label_columns(found)
    if columns:
        return side_by_side(found.path, "labels", list(columns.values()), list(columns))
    return found.get("labels")


def _label_columns(found: Resolved) -> dict[str, Field]:
    """Return columns of labels that are named after classes of the scores, by the class, in the order of the scores."""
    candidates = [] if "labels" in found.said else found.candidates.get("labels", [])
    named = {meaning.split: item for item in candidates if (meaning := read_name(item.name)) is not None}
    words = [word for word in found.scores.columns if word in named]
    return {word: named[word] for word in words} if len(words) == len(candidates) > 1 else {}


def _different_labels(found: Resolved) -> Iterable[Any]:
    """Return the different labels of a file, as far as they tell which classes there are."""
    labels = label_field(found)
    if labels is None or len(labels.shape) != 1 or labels.dtype.kind == "O":
        return ()
    return np.unique(labels.read()).tolist()


def file_classes(found: Resolved, said: Sequence[Any] | None = None, labels_from: int = 0) -> Classes:
    """Tell which columns of the scores are the classes, by their names, by those in the file or the user's.

    Parameters
    ----------
    found : Resolved
    said : sequence, optional
        The user's; ``("*",)`` says that every column is a class.
    labels_from : int, default=0
        What the first class is called where labels are positions.

    Returns
    -------
    Classes

    Raises
    ------
    UsageError
        If nothing decides whether a column is a class.
    """
    if said is not None and tuple(said) == EVERY:
        return classes_of(found.scores, None, lambda: _different_labels(found), every=True)
    if found.kind == "confidence":
        return Classes(found.scores)
    item = found.get("class_names")
    own: tuple[Any, ...] | None = None
    if said is None and item is not None and len(item.shape) == 1 and item.dtype.kind != "O":
        own = tuple(item.read().tolist())
    if said is None and own is None and (columns := _label_columns(found)):
        own = tuple(as_name(word) for word in columns)
    n_classes = found.scores.shape[1] if len(found.scores.shape) == 2 else 2
    if own is not None and found.scores.columns:
        try:
            return classes_of(found.scores, own, lambda: ())
        except UsageError:
            # The columns carry the names of their classes themselves.
            own = None
    names = said if said is not None else own if own is not None and len(own) == n_classes else None
    classes = classes_of(found.scores, names, lambda: _different_labels(found))
    if names is not None or found.columns_said:
        return classes
    return settled(found, classes, lambda: [*_different_labels(found), *_different_answers(found)], labels_from)


def _different_answers(found: Resolved) -> Iterable[Any]:
    answers = found.candidates.get("predicted", [])
    return [value for item in answers if item.shape == found.scores.shape[:1] for value in np.unique(item.read())]


def truth_of(
    found: Resolved, classes: Classes, positive: Any, ignore_label: Any, labels_from: int = 0, *, needed: bool
) -> Truth:
    """Return the labels of scores of all classes, or of one event.

    Parameters
    ----------
    found : Resolved
    classes : Classes
    positive : value, optional
        The label that a single column of scores is about.
    ignore_label : value or sequence of values, optional
        Labels of rows to be left out.
    labels_from : int, default=0
        What the first class is called where labels are positions.
    needed : bool
        Whether it is an error if there are none.

    Raises
    ------
    UsageError
        If there are no labels, or it is open which of them a single column is about.
    """
    labels = label_field(found)
    if labels is None and needed:
        raise _no_labels(found)
    scores = classes.scores
    if len(scores.shape) > 1 and scores.shape[1] > 1:
        if positive is not None:
            raise UsageError(
                f"{found.path}: positive={positive!r} is for one column of scores, but {scores} has a column per "
                "class. Leave it out."
            )
        truth = None if labels is None else _labels(labels, classes)
        if classes.names is None and not scores.columns:
            _check_words(found, truth)
        return Truth(truth, classes.names)
    return _event(found, labels, classes.names, positive, ignore_label, labels_from)


def _no_labels(found: Resolved) -> UsageError:
    pairs = len(found.scores.shape) == 1 and found.candidates.get("correct")
    hint = " If the scores are confidences in answers, say kind='confidence' (--kind confidence)." if pairs else ""
    others = [name for name in sorted(found.elsewhere) if getattr(read_name(name), "role", "") == "labels"]
    what = "no array is named like labels (labels, y_true, targets)"
    if others:
        own = f"of split {found.split!r}" if found.split else "of none"
        what = f"the labels {printable(others[0])!r} are named as those of a split, and the scores as {own}"
    return UsageError(
        f"{found.path}: {what}. It holds {found.listing}. Say where they "
        f"are with labels='NAME or FILE' (--labels NAME or FILE).{hint}"
    )


def _check_words(found: Resolved, truth: Any) -> None:
    """Raise if labels are the words true and false, and nothing names the two columns: options stand in any order."""
    words = isinstance(truth, np.ndarray) and truth.dtype.kind == "U"
    if words and found.scores.shape[1] == 2 and set(np.unique(np.char.lower(truth))) <= {"true", "false"}:
        raise UsageError(
            f"{found.path}: the labels are the words True and False, but which of the two columns of "
            f"{printable(found.scores.name)!r} is which is unknown. Name them in their order with class_names: "
            "--class-names False,True if the second one is True."
        )


def _labels(item: Field, classes: Classes) -> Any:
    """Return labels; one-hot rows, which may be as large as the scores, become columns block by block."""
    scores = classes.scores
    if len(scores.shape) > 2:
        return item.load()
    check_length(item, scores, "y_true")
    if len(item.shape) != 2 or item.shape[1] == 1:
        return _narrow(item.load(), scores.shape[1])
    if item.columns and len(item.columns) == scores.shape[1]:
        index = ClassIndex([as_name(word) for word in item.columns], len(item.columns))
        names = range(scores.shape[1]) if classes.names is None else classes.names
        places = [index.find(name) for name in names]
        item = item.take([place for place in places if place is not None]) if None not in places else item
    source, step = item.load(), block_rows(item.shape, item.dtype)
    starts = range(0, item.shape[0], step)
    parts = [encode_labels(source[start : start + step], scores.shape[1]) for start in starts]
    return TrueColumns.concatenate(parts, scores.shape[1])


def _narrow(source: Any, n_classes: int) -> NDArray[Any]:
    """Return labels; those that are not mapped are kept in the smallest type that holds them."""
    if not isinstance(source, LazyArray) or source.dtype.kind not in "iu":
        return np.asarray(source)
    narrow = np.min_scalar_type(n_classes)
    step = block_rows(source.shape, source.dtype)
    blocks = (np.asarray(source[start : start + step]) for start in range(0, len(source), step))
    # Labels that are no columns stay what they are, for the message.
    parts = [block.astype(narrow) if block.min() >= 0 and block.max() < n_classes else block for block in blocks]
    return np.concatenate(parts) if parts else np.empty(source.shape, source.dtype)


def _event(
    found: Resolved,
    labels: Field | None,
    names: tuple[Any, ...] | None,
    positive: Any,
    ignore_label: Any,
    labels_from: int,
) -> Truth:
    """Return the labels of one column of scores, which is about the one that its name tells, or the user."""
    scores = found.scores
    values = None if labels is None else read_column(labels, scores, "y_true")
    present = [] if values is None else _present(values, ignore_label)
    word = class_words([found.word])[0]
    name = as_name(str(positive)) if positive is not None else as_name(word) if word else None
    place = None if name is None else _place(present, name)
    if positive is None and values is not None and names is None:
        if place is None and (is_whole_number(word) or word.casefold() in NEGATIVE_WORDS):
            raise UsageError(
                f"{found.path}: the column {printable(scores.name)!r} is named after the class {word}, but the "
                f"labels are {_listed(present)}. Say which of them it is about with positive=VALUE (--positive VALUE)."
            )
        if place is None:
            _check_event(found, present)
            _check_answers(found, 1)
            return Truth(values)
        if len(present) > 2:
            raise UsageError(
                f"{found.path}: the scores are one column, {printable(scores.name)!r}, but there are {len(present)} "
                f"different labels ({_listed(present)}). To judge it as the forecast of {word!r} against all "
                f"others, say positive={name!r} (--positive {word}); or name the columns of all classes."
            )
    if names is not None and name is not None:
        order = _event_last(found, names, name, positive)
        if order is names or values is None:
            return Truth(values, order)
        truth = encode_labels(values, 2, names, labels_from=labels_from, ignore_label=ignore_label)
        return Truth(truth.reordered([1, 0]), order)
    if name is None:
        return Truth(values, names)
    if values is not None and place is None:
        raise UsageError(f"{found.path}: positive={name!r} is none of the labels, which are {_listed(present)}.")
    _check_answers(found, name)
    return _against_others(values, present, place, name, ignore_label)


def _event_last(found: Resolved, names: tuple[Any, ...], name: Any, positive: Any) -> tuple[Any, ...]:
    """Return the names of both classes so that the column of scores is about the second one."""
    place = ClassIndex(names, len(names)).find(name)
    if place is None and positive is not None:
        raise UsageError(f"{found.path}: positive={positive!r} is none of the classes, which are {_listed(names)}.")
    if place is None and str(name).casefold() in NEGATIVE_WORDS:
        raise UsageError(
            f"{found.path}: the column {printable(found.scores.name)!r} is named after {name}, but the classes are "
            f"{_listed(names)}. Say which of them it is about with positive=VALUE (--positive VALUE)."
        )
    return names[::-1] if place == 0 and len(names) == 2 else names


def _against_others(
    values: NDArray[Any] | None, present: Sequence[Any], place: int | None, name: Any, ignore_label: Any
) -> Truth:
    others = [value for number, value in enumerate(present) if number != place]
    other = others[0] if len(others) == 1 else 1 - name if name in (0, 1) and not others else f"not {name}"
    names = (other, name if place is None else present[place])
    if values is None:
        return Truth(None, names)
    ignored = None if ignore_label is None else labels_in(values, ignore_label)
    return Truth(TrueColumns(labels_in(values, names[1]).astype(np.uint8), None, ignored), names)


def _check_event(found: Resolved, present: Sequence[Any]) -> None:
    """Raise if labels are text that does not tell which of them is class 1."""
    index = ClassIndex(None, 2)
    if any(index.find(value) is None and isinstance(value, str) for value in present):
        example = present[-1]
        raise UsageError(
            f"{found.path}: the scores are one column, {printable(found.scores.name)!r}, and the labels are "
            f"{_listed(present)}. Say which of them it is about with positive={example!r} (--positive {example}); if "
            "it is the confidence in an answer, say kind='confidence' (--kind confidence)."
        )


def _check_answers(found: Resolved, positive: Any) -> None:
    """Raise if answers in the file contradict a column that is called a probability: it may be that of the answer."""
    answers = found.candidates.get("predicted", [])
    if found.kind != "probs" or found.kind_said or len(answers) != 1 or answers[0].shape[:1] != found.scores.shape[:1]:
        return
    yes = labels_in(read_column(answers[0], found.scores, "predicted"), positive)
    probability = read_column(found.scores, found.scores, "scores")
    odd = (probability > 0.5) != yes
    odd &= probability != 0.5
    if odd.any():
        row = int(np.argmax(odd))
        raise UsageError(
            f"{found.path}: {printable(found.scores.name)!r} is {probability[row]:.6g} in row {row}, where "
            f"{printable(answers[0].name)!r} is {'' if yes[row] else 'not '}{positive!r}. If it is the confidence in "
            f"the answer, say kind='confidence' (--kind confidence); if it is the probability of {positive!r}, "
            "kind='probs' (--kind probs)."
        )


def _present(values: NDArray[Any], ignore_label: Any) -> list[Any]:
    kept = values if ignore_label is None else values[~labels_in(values, ignore_label)]
    found: list[Any] = np.unique(kept).tolist()
    return found


def _place(present: Sequence[Any], name: Any) -> int | None:
    index = ClassIndex(present, len(present)) if present else None
    if index is None or (isinstance(name, int) and not index.numbered):
        # A number is no position here.
        return None
    return index.find(name)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(repr(value) for value in values[:10]) + (", …" if len(values) > 10 else "")


def pairs(found: Resolved, container: Container, ignore_label: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return whether each answer was right, and which rows are to be left out.

    Raises
    ------
    UsageError
        If there is neither an array that says so, nor one of labels and one of answers.
    """
    scores = found.scores
    compare = {"labels", "predicted"} & set(found.said) and "correct" not in found.said
    named = found.said.get("labels")
    meaning = None if named is None else read_name(named.name)
    if named is not None and meaning is not None and meaning.role == "correct":
        return _judged(named, scores, ignore_label)
    correct = None if compare else found.get("correct")
    if correct is not None:
        return _judged(correct, scores, ignore_label)
    labels, predicted = found.get("labels"), found.get("predicted")
    if labels is not None and predicted is not None:
        truth = read_column(labels, scores, "labels")
        answers = read_column(predicted, scores, "predicted")
        ignored = np.zeros(len(truth), np.bool_) if ignore_label is None else labels_in(truth, ignore_label)
        right = np.zeros(len(truth), np.bool_)
        try:
            right[~ignored] = answers_match(truth[~ignored], answers[~ignored])
        except InputError as error:
            hint = (
                " To leave out rows without a label, say --ignore-label nan."
                if "true labels are missing" in str(error)
                else ""
            )
            raise InputError(f"{error} ({labels.name}, {predicted.name}){hint}") from None
        return right, ignored if ignored.any() else None
    raise UsageError(
        f"{found.path}: confidences need to know which answers were right: an array named 'correct', or 'labels' and "
        "'predicted'. Say which with correct='NAME' (--correct NAME), or labels='NAME', predicted='NAME' (--labels "
        "NAME "
        f"--predicted NAME). The file holds {container.listing()}."
    )


def _judged(item: Field, scores: Field, ignore_label: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return what says whether answers were right, and which rows are to be left out."""
    correct = read_column(item, scores, "correct")
    if ignore_label is None or not (ignored := labels_in(correct, ignore_label)).any():
        return correct, None
    right = np.zeros(len(correct), np.uint8)
    right[~ignored] = as_correct(correct[~ignored])
    return right, ignored


def read_column(item: Field, scores: Field, what: str) -> NDArray[Any]:
    """Return a whole array of one value per row."""
    check_length(item, scores, what)
    values = item.read()
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def check_length(item: Field, scores: Field, what: str) -> None:
    """Compare lengths before anything is read, so that a header alone cannot exhaust memory."""
    if item.dtype.kind == "O":
        item.load()
    n_rows = scores.shape[0]
    if not item.shape or item.shape[0] != n_rows:
        rows = f"{item.shape[0]} rows" if item.shape else "no rows"
        raise InputError(
            f"{what} has {rows}, but the scores have {n_rows}: {item} and {scores} do not belong "
            f"together. {length_advice(item, scores)}"
        )
