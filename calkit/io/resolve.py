"""Which arrays of a file are the scores, the labels, the weights: decided by names and by what the user says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from calkit.errors import UsageError
from calkit.io.container import Container, Field, printable
from calkit.io.names import Meaning, Role, canonical_split, read_name
from calkit.predictions import Kind
from calkit.registry import unknown_name

__all__ = ["Resolved", "resolve", "splits_of"]

_SCORE_ROLES: tuple[Role, ...] = ("logits", "probs", "scores", "confidence")
_OTHER_ROLES: tuple[Role, ...] = ("labels", "correct", "predicted", "sample_weight", "class_names")
_SAYABLE = ("labels", "sample_weight")


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
    """

    path: Path
    kind: Kind
    scores: Field
    candidates: dict[Role, list[Field]] = field(default_factory=dict)
    split: str = ""

    def get(self, role: Role) -> Field | None:
        """Return the field of a role, or None if there is none.

        Raises
        ------
        UsageError
            If there are several.
        """
        found = self.candidates.get(role, [])
        if len(found) > 1:
            names = " and ".join(repr(item.name) for item in found[:2])
            how = (
                f"Say which with {role}='NAME' (--{role.replace('_', '-')} NAME)"
                if role in _SAYABLE
                else "Rename one of them"
            )
            raise UsageError(f"{self.path}: both {names} could be the {role}. {how}.")
        return found[0] if found else None


def splits_of(container: Container) -> list[str]:
    """Return the splits of a file that hold scores, in its order; one without a name is ``""``."""
    return list(dict.fromkeys(meaning.split for _, meaning in _score_candidates(container)))


def resolve(
    container: Container,
    *,
    kind: Kind | None = None,
    split: str | None = None,
    scores: str | None = None,
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

    Returns
    -------
    Resolved

    Raises
    ------
    UsageError
        If a choice is left open, or the arrays named do not exist; the message lists those that do.
    """
    chosen, meaning = _choose_scores(container, kind, split, scores)
    decided = kind or _kind_of(container, chosen, meaning)
    where = meaning.split if meaning else canonical_split(split or "")
    others = [pair for pair in _meanings(container, _OTHER_ROLES) if pair[0] is not chosen]
    candidates: dict[Role, list[Field]] = {}
    for role in _OTHER_ROLES:
        own = [item for item, other in others if other.role == role and other.split == where]
        # A split's own labels come before labels that name no split.
        candidates[role] = own or [item for item, other in others if other.role == role and not other.split]
    return Resolved(container.path, decided, chosen, candidates, where)


def _meanings(container: Container, roles: Iterable[Role]) -> list[tuple[Field, Meaning]]:
    found = [(item, read_name(item.name)) for item in container.fields.values()]
    wanted = set(roles)
    return [(item, meaning) for item, meaning in found if meaning and meaning.role in wanted]


def _choose_scores(
    container: Container, kind: Kind | None, split: str | None, scores: str | None
) -> tuple[Field, Meaning | None]:
    if scores is not None:
        if scores not in container.fields and set(scores) & set(",*?["):
            return container.matrix(scores), None
        found = container.find(scores)
        return found, read_name(found.name)
    candidates = _score_candidates(container)
    if not candidates and len(container.fields) == 1 and not container.named:
        return next(iter(container.fields.values())), None
    if not candidates:
        for item in container.fields.values():
            if item.dtype.kind == "O" and len(container.fields) == 1:
                # Says why it cannot be read.
                item.load()
        raise UsageError(
            f"{container.path}: no array is named like scores (logits, probs, confidence). It holds "
            f"{container.listing()}. Say which one with scores='NAME' (--scores NAME)"
            f"{_column_hint(container, kind)}."
        )
    candidates = _of_split(container, candidates, split)
    if kind is not None:
        open_or_kind = [c for c in candidates if c[1].role in (kind, "scores")]
        candidates = open_or_kind or candidates
    full = [c for c in candidates if c[1].role != "confidence"]
    # Confidences beside full scores are a summary of them; without them they are all there is.
    candidates = full or candidates
    if len(candidates) > 1:
        names = ", ".join(repr(item.name) for item, _ in candidates)
        raise UsageError(
            f"{container.path}: {names} could all be the scores. Say which one with scores='NAME' (--scores NAME)."
        )
    return candidates[0]


def _score_candidates(container: Container) -> list[tuple[Field, Meaning]]:
    """Return the arrays that may be scores: matrices of predictions, which some call ``y_pred``, if no others."""
    found = _meanings(container, _SCORE_ROLES)
    if found:
        return found
    predicted = _meanings(container, ("predicted",))
    return [(item, Meaning("scores", meaning.split)) for item, meaning in predicted if len(item.shape) == 2]


def _column_hint(container: Container, kind: Kind | None) -> str:
    """Return how to say that several columns are the scores, if there are several that could be."""
    columns = [item for item in container.fields.values() if len(item.shape) == 1 and item.dtype.kind == "f"]
    if container.stack is None or len(columns) < 2:
        return ""
    said = "" if kind else ", and what they hold with kind='logits' or kind='probs' (--kind)"
    example = ",".join(printable(item.name) for item in columns[:3])
    return f", or the columns of the classes: --scores '{example}'{said}"


def _of_split(
    container: Container, candidates: list[tuple[Field, Meaning]], split: str | None
) -> list[tuple[Field, Meaning]]:
    known = splits_of(container)
    if split is None:
        if len(known) > 1:
            names = ", ".join(repr(name) for name in known)
            raise UsageError(
                f"{container.path} holds the splits {names}. Say which one with split='NAME' (--split NAME)."
            )
        return candidates
    wanted = canonical_split(split)
    if wanted not in known:
        if known == [""]:
            raise UsageError(f"{container.path} does not name its splits, so split={split!r} cannot be chosen.")
        raise unknown_name("split", split, known, of=container.path)
    return [c for c in candidates if c[1].split == wanted]


def _kind_of(container: Container, scores: Field, meaning: Meaning | None) -> Kind:
    role = meaning.role if meaning else None
    if role == "logits":
        return "logits"
    if role == "probs":
        return "probs"
    if role == "confidence":
        return "confidence"
    if scores.dtype.kind == "O":
        # Says why it cannot be read.
        scores.load()
    raise UsageError(
        f"{container.path}: the name {scores.name!r} does not tell logits from probabilities, and calkit does not "
        f"guess. Say it with kind='logits' or kind='probs' (--kind logits, --kind probs). The file holds "
        f"{container.listing()}."
    )
