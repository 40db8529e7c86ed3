"""Which arrays of a file are the scores, the labels, the weights: decided by names and by what the user says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from calkit.containers.container import Container, Field, printable
from calkit.errors import UsageError
from calkit.names import (
    ROLES,
    SCORE_ROLES,
    Meaning,
    Role,
    canonical_split,
    is_split,
    read_class_column,
    read_name,
)
from calkit.predictions import Kind
from calkit.registry import unknown_name
from calkit.roles.hints import check_is_logit, column_hint, columns_example

__all__ = ["OPTIONS", "Candidate", "Resolved", "candidates_of", "resolve", "say_which", "score_candidates"]

_OTHER_ROLES: tuple[Role, ...] = (
    "labels",
    "correct",
    "predicted",
    "sample_weight",
    "class_names",
    "split",
    "id",
    "group",
)

#: How each role is said on the command line, where the option is not called like the role.
OPTIONS: dict[Role, str] = {"sample_weight": "--weight", "class_names": "--class-names", "split": "--split-column"}

# How the tensors of a network's layers are called, after a point.
_OF_LAYERS = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


@dataclass(frozen=True)
class Candidate:
    """An array that may have a role.

    Attributes
    ----------
    item : Field
    meaning : Meaning
    word : str
        Of a column, what stands beside the role and is no split: a class, a model.
    """

    item: Field
    meaning: Meaning
    word: str = ""


@dataclass(frozen=True)
class Resolved:
    """The arrays chosen from a container.

    Attributes
    ----------
    path : Path
        Of the container, for messages.
    kind : {"logits", "probs", "confidence"}
    scores : Field
    candidates : dict
        The other fields by role: labels, correct, predicted, sample_weight, class_names. Several may be named alike.
    split : str
        Empty if the names tell none.
    word : str
        What the name of a single column of scores says besides: ``"spam"`` of ``prob_spam``.
    said : mapping
        The fields that the user named, by role.
    kind_said : bool
        Whether the user said the kind.
    listing : str
        What the container holds, for messages.
    elsewhere : frozenset of str
        Names of the arrays and columns that belong to other splits or models.
    columns_said : bool
        Whether the user named the columns of the classes one by one.
    """

    path: Path
    kind: Kind
    scores: Field
    candidates: dict[Role, list[Field]] = field(default_factory=dict)
    split: str = ""
    word: str = ""
    said: Mapping[Role, Field] = field(default_factory=dict)
    kind_said: bool = False
    listing: str = ""
    elsewhere: frozenset[str] = frozenset()
    columns_said: bool = False

    def get(self, role: Role) -> Field | None:
        """Return the field of a role, or None if there is none.

        Raises
        ------
        UsageError
            If there are several.
        """
        if role in self.said:
            return self.said[role]
        found = self.candidates.get(role, [])
        if len(found) > 1:
            names = " and ".join(repr(printable(item.name)) for item in found[:2])
            option = OPTIONS.get(role, f"--{role}")
            answers = role == "labels" and self.kind == "confidence"
            hint = " If one is the answer given, say so too: predicted='NAME' (--predicted NAME)." if answers else ""
            raise UsageError(
                f"{self.path}: both {names} could be the {role}. Say which with {role}='NAME' ({option} NAME).{hint}"
            )
        return found[0] if found else None

    def used(self) -> set[str]:
        """Return the names of the arrays and columns that need not travel beside the scores."""
        fields = [self.scores, *self.said.values()]
        for role in ("labels", "correct", "sample_weight", "class_names"):
            fields += self.candidates.get(role, [])
        return {name for item in fields for name in (item.name, *item.members)} | self.elsewhere


def resolve(
    container: Container,
    *,
    kind: Kind | None = None,
    split: str | None = None,
    scores: str | None = None,
    said: Mapping[Role, Field] | None = None,
) -> Resolved:
    """Choose the scores and all that belongs to them.

    Parameters
    ----------
    container : Container
    kind : {"logits", "probs", "confidence"}, optional
        What the scores are; needed only where the name of the array leaves it open.
    split : str, optional
        Which split, where there are several; ``"val"`` and ``"validation"`` are one.
    scores : str, optional
        Name of the array of scores, where several would do or none is recognised; or names or patterns of columns,
        separated by commas.
    said : mapping of str to Field, optional
        The arrays of other roles, as far as the user named them.

    Returns
    -------
    Resolved

    Raises
    ------
    UsageError
        If a choice is left open, or the arrays named do not exist; the message lists those that do.
    """
    said = said or {}
    if "confidence" in said:
        chosen: Field = said["confidence"]
        found = read_name(chosen.name)
        candidate = Candidate(chosen, Meaning("confidence", found.split if found and is_split(found.split) else ""))
        decided: Kind = "confidence"
    else:
        # Whether answers were right is known of pairs alone.
        kind = "confidence" if kind is None and "correct" in said else kind
        candidate = _choose_scores(container, kind, split, scores)
        chosen = candidate.item
        decided = kind or _kind_of(container, chosen, candidate.meaning)
        if kind is None and decided == "logits":
            check_is_logit(container, chosen)
    where = candidate.meaning.split or canonical_split(split or "")
    others = [other for other in candidates_of(container, _OTHER_ROLES) if other.item.name != chosen.name]
    elsewhere = frozenset(
        name
        for other in candidates_of(container, ROLES)
        if other.meaning.split not in ("", where)
        for name in (other.item.name, *other.item.members)
    )
    return Resolved(
        container.path,
        decided,
        chosen,
        {role: _of_role(role, others, where) for role in _OTHER_ROLES},
        where,
        candidate.word,
        said,
        kind is not None,
        container.listing(),
        elsewhere,
        scores is not None and {word.strip() for word in scores.split(",")} == set(chosen.members),
    )


def _of_role(role: Role, others: Sequence[Candidate], where: str) -> list[Field]:
    """Return the arrays that may be the one of a role for a split."""
    # The weight of a body or of a class is none of the row: weights are called so and nothing else.
    of_role = [other for other in others if other.meaning.role == role and not (role == "sample_weight" and other.word)]
    # A split's own labels come before labels that name no split, and plain names before longer ones.
    ranks = [
        [other.item for other in of_role if other.meaning.split == own and bool(other.word) == longer]
        for own in dict.fromkeys((where, ""))
        for longer in (False, True)
    ]
    return next((rank for rank in ranks if rank), [])


def candidates_of(container: Container, roles: Iterable[Role]) -> list[Candidate]:
    """Return the arrays with one of some roles; what stands beside the role is a split, a group, or else a word."""
    wanted = set(roles)
    read = [_read(item) for item in container.fields.values()]
    groups = _groups(container, read)
    found = []
    for candidate in read:
        if candidate is None or candidate.meaning.role not in wanted:
            continue
        split = candidate.meaning.split
        if candidate.word in groups:
            candidate = replace(candidate, meaning=Meaning(candidate.meaning.role, candidate.word), word="")
        elif split and not is_split(split) and split not in groups and _is_of_columns(candidate.item):
            word = candidate.word or split
            candidate = replace(candidate, meaning=Meaning(candidate.meaning.role), word=word)
        found.append(candidate)
    return found


def _named(name: str) -> Candidate | None:
    return _read(Field(name, (0,), np.dtype(float), list))


def _is_of_columns(item: Field) -> bool:
    """Tell whether an array is a column, or a matrix of columns, whose names say more than a split."""
    return len(item.shape) == 1 or bool(item.members)


def _read(item: Field) -> Candidate | None:
    """Return what the name of an array says; that of a column may name a class."""
    meaning = read_name(item.name)
    column = read_class_column(item.name) if len(item.shape) == 1 else None
    if column is not None and not is_split(column.word) and (meaning is None or meaning.split == column.word):
        array = read_name(column.array)
        if array is not None:
            return Candidate(item, array, column.word)
    return None if meaning is None else Candidate(item, meaning)


def _groups(container: Container, read: Iterable[Candidate | None]) -> set[str]:
    """Return what stands beside the roles of several arrays: models with scores, answers or labels of their own."""
    roles: dict[str, set[str]] = {}
    for candidate in read:
        if candidate is not None:
            for split in filter(None, (candidate.meaning.split, candidate.word)):
                part = "scores" if candidate.meaning.role in SCORE_ROLES else candidate.meaning.role
                roles.setdefault(split, set()).add(part)
    table = container.stack is not None
    # In a file of arrays, a path is a group: "test/logits".
    paths = set() if table else {name.rpartition("/")[0] for name in container.fields if "/" in name}
    answers = {"predicted", "correct"} if table else {"predicted", "correct", "labels", "sample_weight"}
    return {split for split, found in roles.items() if "scores" in found and found & answers} | paths


def _choose_scores(container: Container, kind: Kind | None, split: str | None, scores: str | None) -> Candidate:
    if scores is not None:
        return _said_scores(container, scores)
    candidates = score_candidates(container)
    if not candidates and len(container.fields) == 1 and not container.named:
        return Candidate(next(iter(container.fields.values())), Meaning("scores"))
    if not candidates:
        for item in container.fields.values():
            if item.dtype.kind == "O" and len(container.fields) == 1:
                # Says why it cannot be read.
                item.load()
        if container.fields and all(name.rpartition(".")[2] in _OF_LAYERS for name in container.fields):
            raise UsageError(
                f"{container.path} holds the weights of a network, not its outputs. Compute these first: calkit "
                f"predict {container.path} --model NAME --dataset NAME -o logits.npz, or, of a model of your own, "
                "calkit_torch.bridge.predict."
            )
        raise UsageError(
            f"{container.path}: no array is named like scores (logits, probs, confidence). It holds "
            f"{container.listing()}. Say which one with scores='NAME' (--scores NAME)"
            f"{column_hint(container, kind)}."
        )
    candidates = _of_split(container, candidates, split)
    for better in _preferences(kind):
        candidates = [candidate for candidate in candidates if better(candidate)] or candidates
    if len(candidates) > 1:
        names = ", ".join(repr(printable(candidate.item.name)) for candidate in candidates)
        single = all(len(candidate.item.shape) == 1 for candidate in candidates)
        columns = columns_example([candidate.item for candidate in candidates])
        hint = f", or, if they are the columns of the classes, --scores '{columns}'" if single else ""
        raise UsageError(
            f"{container.path}: {names} could all be the scores. Say which one with scores='NAME' (--scores "
            f"NAME){hint}."
        )
    return candidates[0]


def _preferences(kind: Kind | None) -> Iterator[Callable[[Candidate], bool]]:
    """Yield which candidates come before others."""
    if kind is not None:
        yield lambda candidate: candidate.meaning.role in (kind, "scores")
    # Confidences beside full scores are a summary of them; without them they are all there is.
    yield lambda candidate: len(candidate.item.shape) > 1 or candidate.meaning.role in ("logits", "probs")
    # So are the scores of the best answer, and other columns with a longer name.
    yield lambda candidate: not candidate.word


def _said_scores(container: Container, scores: str) -> Candidate:
    if scores not in container.columns() and set(scores) & set(",*?["):
        matrix = container.matrix(scores)
        roles = {candidate.meaning.role if candidate else None for candidate in map(_named, matrix.members)}
        role = roles.pop() if len(roles) == 1 else None
        return Candidate(matrix, Meaning(role if role in SCORE_ROLES else "scores"))
    found = container.find(scores)
    candidate = _read(found) or Candidate(found, Meaning("scores"))
    if candidate.meaning.role not in SCORE_ROLES:
        candidate = replace(candidate, meaning=Meaning("scores", candidate.meaning.split))
    if candidate.meaning.split and not is_split(candidate.meaning.split) and _is_of_columns(found):
        groups = _groups(container, [_read(item) for item in container.fields.values()])
        if candidate.meaning.split not in groups:
            return Candidate(found, Meaning(candidate.meaning.role), candidate.word or candidate.meaning.split)
    return candidate


def score_candidates(container: Container) -> list[Candidate]:
    """Return the arrays that may be scores: matrices of predictions, which some call ``y_pred``, if no others."""
    found = candidates_of(container, SCORE_ROLES)
    if found:
        return found
    predicted = candidates_of(container, ("predicted",))
    return [
        replace(candidate, meaning=Meaning("scores", candidate.meaning.split))
        for candidate in predicted
        if len(candidate.item.shape) == 2
    ]


def _of_split(container: Container, candidates: list[Candidate], split: str | None) -> list[Candidate]:
    known = list(dict.fromkeys(candidate.meaning.split for candidate in candidates))
    if split is None:
        if len(known) > 1:
            raise say_which(container, known)
        return candidates
    wanted = canonical_split(split)
    if wanted not in known:
        if known == [""]:
            raise UsageError(
                f"{container.path} does not name its splits, so split={split!r} cannot be chosen. Leave split "
                "(--split) out, or name the column that tells them (--split-column)."
            )
        raise unknown_name("split", split, known, of=container.path)
    return [candidate for candidate in candidates if candidate.meaning.split == wanted]


def say_which(container: Container, splits: Iterable[str]) -> UsageError:
    """Return the error for a file with several splits of which none was chosen."""
    names = ", ".join(repr(name) for name in splits)
    return UsageError(f"{container.path} holds the splits {names}. Say which one with split='NAME' (--split NAME).")


def _kind_of(container: Container, scores: Field, meaning: Meaning) -> Kind:
    if meaning.role == "logits":
        return "logits"
    # Confidences of all classes are their probabilities.
    if meaning.role == "probs" or (meaning.role == "confidence" and len(scores.shape) == 2 and scores.shape[1] > 1):
        return "probs"
    if meaning.role == "confidence":
        return "confidence"
    if scores.dtype.kind == "O":
        # Says why it cannot be read.
        scores.load()
    raise UsageError(
        f"{container.path}: the name {printable(scores.name)!r} does not tell logits from probabilities, and calkit "
        "does "
        f"not guess. Say it with kind='logits' or kind='probs' (--kind logits, --kind probs). The file holds "
        f"{container.listing()}."
    )
