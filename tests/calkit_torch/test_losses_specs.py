"""The names and strings of losses, and their schedules."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calkit.errors import InputError, NotFoundError, UsageError
from calkit_torch.losses import (
    PAPER_NAMES,
    AdaFocalLoss,
    AdaptiveFocalLoss,
    FocalLoss,
    Loss,
    MMCELoss,
    ScheduledFocalLoss,
    available_losses,
    get_loss,
    register_loss,
)
from calkit_torch.losses._base import LOSSES
from tests.calkit_torch.loss_oracles import BATCH_ORACLES, SAMPLE_ORACLES

CANONICAL = [
    "ce",
    "brier",
    "focal:3",
    "focal:0.5",
    "focal-scheduled:5,3,2@100,250",
    "focal-adaptive:5,3@0.19",
    "focal-adaptive:5,3,closed=left@0.2",
    "focal-adaptive:4",
    "mmce:2",
    "mmce:2,base=focal:3",
    "mmce-w:8,base=(focal-adaptive:5,3@0.19),scaling=code",
    "dca:1,base=(mdca:1,base=(mmce:2,base=focal:1))",
    "label-smoothing:0.05",
    "label-smoothing:0.05,spread=others",
    "logit-norm:0.04",
    "adafocal:15",
    "adafocal:15,rate=0.5,gamma_min=-1",
    "soft-binned-ece:1,n_bins=10",
    "mbls:0.1,margin=5",
    *SAMPLE_ORACLES,
    *BATCH_ORACLES,
]


@pytest.mark.parametrize("spec", CANONICAL)
def test_strings_print_back(spec: str) -> None:
    assert str(get_loss(spec)) == get_loss(spec).spec == spec


@pytest.mark.parametrize("name", [*available_losses(), *PAPER_NAMES])
def test_every_name_alone_is_a_loss(name: str) -> None:
    loss = get_loss(name, reduction="sum", ignore_index=3)
    again = get_loss(str(loss))
    assert str(again) == str(loss)
    assert type(again) is type(loss)
    assert repr(str(loss)) in repr(loss)
    assert (loss.reduction, loss.ignore_index) == ("sum", 3)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("focal", "focal:3"),
        ("focal: 3.0", "focal:3"),
        ("focal:gamma=2", "focal:2"),
        ("mmce:base=ce,strength=4", "mmce:4"),
        ("label-smoothing:0.050", "label-smoothing:0.05"),
        ("focal-adaptive:5.0,3,closed=right@.19", "focal-adaptive:5,3@0.19"),
    ],
)
def test_other_spellings(text: str, canonical: str) -> None:
    assert str(get_loss(text)) == canonical


@given(
    gammas=st.lists(st.floats(0, 20), min_size=1, max_size=5),
    cuts=st.lists(st.floats(0.001, 0.999), min_size=4, max_size=4, unique=True),
)
def test_any_bands_print_back(gammas: list[float], cuts: list[float]) -> None:
    loss = AdaptiveFocalLoss(gammas, sorted(cuts[: len(gammas) - 1]))
    again = get_loss(str(loss))
    assert isinstance(again, AdaptiveFocalLoss)
    assert (again.gammas, again.cuts) == (tuple(gammas), tuple(sorted(cuts[: len(gammas) - 1])))


def test_names_of_the_paper() -> None:
    """Section 5 of the paper for FL, FLS and FLA; the published code for FLSD (0.2, and p < cut)."""
    assert {name: str(get_loss(name)) for name in PAPER_NAMES} == PAPER_NAMES
    assert PAPER_NAMES["FLA-532"] == "focal-adaptive:5,3,2@0.19,0.5"
    assert PAPER_NAMES["FLA-53"] == "focal-adaptive:5,3@0.19"
    assert PAPER_NAMES["FLSD-53"] == "focal-adaptive:5,3,closed=left@0.2"
    assert PAPER_NAMES["FLSD-52"] == "focal-adaptive:5,3,2,closed=left@0.2,0.5"
    # All losses of the paper's tables are there.
    tables = {"CE", "Brier", "MMCE", "FL-1", "FL-2", "FL-3", "FLS-531", "FLS-532", "FLA-532", "FLA-53"}
    assert tables <= set(PAPER_NAMES)


def test_schedules_follow_the_epoch() -> None:
    """γ = 5 for 100 epochs, 3 for 150, then 1: section 5 of the paper, epochs counted from 0."""
    loss = get_loss("FLS-531", reduction="sum", ignore_index=2, weight=torch.ones(3))
    stages = {0: 5, 99: 5, 100: 3, 249: 3, 250: 1, 349: 1, 10**6: 1}
    for epoch, gamma in stages.items():
        now = loss.for_epoch(epoch)
        assert str(now) == f"focal:{gamma}"
        assert (now.reduction, now.ignore_index) == ("sum", 2)
        assert now.weight is loss.weight
    assert str(loss) == "focal-scheduled:5,3,1@100,250"


def test_losses_without_a_schedule_are_the_same_at_all_epochs() -> None:
    for spec in CANONICAL:
        if "scheduled" not in spec:
            loss = get_loss(spec)
            assert loss.for_epoch(100) is loss


def test_a_penalty_follows_the_schedule_of_its_base() -> None:
    loss = get_loss("mmce:2,base=(focal-scheduled:5,3@10),scaling=code", reduction="sum", weight=torch.ones(3))
    assert str(loss.for_epoch(3)) == "mmce:2,base=focal:5,scaling=code"
    assert str(loss.for_epoch(10)) == "mmce:2,base=focal:3,scaling=code"
    assert loss.for_epoch(10).reduction == "sum"
    assert loss.for_epoch(10).weight is loss.weight


def test_a_schedule_does_not_guess_the_epoch() -> None:
    for spec in ("FLS-532", "mmce:2,base=FLS-532"):
        with pytest.raises(UsageError, match=r"depends on the epoch; train with loss.for_epoch\(epoch\)"):
            get_loss(spec)(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_a_base_may_be_a_module() -> None:
    base = AdaFocalLoss(4, weight=torch.ones(3), ignore_index=1)
    loss = MMCELoss(2, base)
    assert str(loss) == "mmce:2,base=adafocal:4"
    assert loss.ignore_index == 1
    assert {"base.gammas", "base.edges"} <= set(loss.state_dict())
    with pytest.raises(UsageError, match="those of the base loss; give them to it"):
        MMCELoss(2, base, ignore_index=0)


@pytest.mark.parametrize("spec", ["FLA-53", "mmce:2,base=focal:3", "adafocal:5", "FLS-532"])
def test_losses_can_be_copied_and_pickled(spec: str) -> None:
    for twin in (copy.deepcopy(get_loss(spec)), pickle.loads(pickle.dumps(get_loss(spec)))):
        assert str(twin) == str(get_loss(spec))
        logits, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
        assert torch.equal(twin.for_epoch(0)(logits, y), get_loss(spec).for_epoch(0)(logits, y))


def test_a_loss_of_ones_own() -> None:
    """One class and one decorator: then strings, options, pixels and checks are there."""

    @register_loss("half-ce")
    class HalfCrossEntropy(Loss):
        def __init__(self, factor: float = 0.5, **options: object) -> None:
            super().__init__(**options)
            self.factor = factor

        def values(self, logits, targets):
            return targets.expect(lambda nll: self.factor * nll, logits)

    try:
        loss = get_loss("half-ce:0.25")
        assert str(loss) == "half-ce:0.25"
        reference = 0.25 * get_loss("ce")(torch.eye(3), torch.tensor([0, 1, 1]))
        torch.testing.assert_close(loss(torch.eye(3), torch.tensor([0, 1, 1])), reference)
    finally:
        del LOSSES._items["half-ce"]


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("focl:3", NotFoundError, r"unknown loss 'focl'. Did you mean 'focal'\? Known: ce, .*, FLSD-53"),
        ("FLA-54", NotFoundError, r"Did you mean 'FLA-53'\?"),
        ("FL-1:2", NotFoundError, "unknown loss 'FL-1'"),
        ("", UsageError, "a specification starts with a name"),
        ("focal:-1", InputError, "gamma must be a finite number >= 0, but is -1; .* 'inverse-focal:1'"),
        ("focal:two", InputError, "gamma must be a finite number >= 0, but is 'two'"),
        ("focal:nan", InputError, "gamma must be a finite number >= 0, but is nan"),
        ("focal:3,2", UsageError, "too many positional arguments"),
        ("focal:gama=3", UsageError, "unexpected keyword argument 'gama'. Parameters: gamma=3.0"),
        ("focal:3,reduction=sum", UsageError, "unexpected keyword argument 'reduction'"),
        ("focal:3@100", UsageError, "focal takes nothing after '@'"),
        ("focal-scheduled:5,3,2@250,100", InputError, "epochs must grow, but are 250, 100"),
        ("focal-scheduled:5,3,2@100,100", InputError, "epochs must grow, but are 100, 100"),
        ("focal-scheduled:5,3,2@100", UsageError, "epochs must be one fewer than the gammas, .* 3, but there are 1"),
        ("focal-scheduled:5,3,2", UsageError, "epochs must be one fewer than the gammas, .* but there are 0"),
        ("focal-scheduled:5,-3@100", InputError, "gamma must be a finite number >= 0, but is -3"),
        ("focal-scheduled:5,3@1.5", UsageError, "must be a whole number, but is 1.5"),
        ("focal-scheduled:5,3@0", InputError, "an epoch of the schedule must be a finite number >= 1, but is 0"),
        ("focal-scheduled:5,3,x=1@100", UsageError, "unknown parameter 'x'; known: none"),
        ("focal-adaptive:5,3@0.2,0.5", UsageError, "cuts must be one fewer than the gammas, .* 2, but there are 2"),
        ("focal-adaptive:5,3,2@0.5,0.2", InputError, "cuts must grow, but are 0.5, 0.2"),
        ("focal-adaptive:5,3@1.2", InputError, "a cut must be a number from 0 to 1, but is 1.2"),
        ("focal-adaptive:5,3,closed=both@0.2", UsageError, "closed must be one of right, left, but is 'both'"),
        ("focal-adaptive:5,3,close=left@0.2", UsageError, "unknown parameter 'close'; known: closed"),
        ("focal-continuous:-1", InputError, "minimum must be a finite number >= 0"),
        ("inverse-focal:-1", InputError, "gamma must be a finite number >= 0, but is -1; .* 'focal:1'"),
        ("dual-focal:-1", InputError, "gamma must be a finite number >= 0"),
        ("label-smoothing:1.5", InputError, "smoothing must be a number from 0 to 1, but is 1.5"),
        ("label-smoothing:0.1,spread=some", UsageError, "spread must be one of all, others"),
        ("logit-norm:0", InputError, "temperature must be a finite number"),
        ("mmce:-1", InputError, "strength must be a finite number >= 0"),
        ("mmce:2,scaling=none", UsageError, "scaling must be one of paper, code, but is None"),
        ("mmce:2,base=focl:3", NotFoundError, r"Did you mean 'focal'\?"),
        ("soft-binned-ece:1,n_bins=2.5", UsageError, "n_bins must be a whole number"),
        ("soft-binned-ece:1,norm=0.5", InputError, "norm must be a finite number >= 1"),
        ("mbls:0.1,margin=-1", InputError, "margin must be a finite number >= 0"),
        ("adafocal:0", InputError, "n_bins must be a finite number >= 1"),
        ("adafocal:5,gamma_min=1", InputError, "gamma_min must be a finite number <= -0.2"),
        ("adafocal:5,gamma=30", InputError, "gamma must be a number from -2 to 20, but is 30"),
    ],
)
def test_what_is_wrong_is_said(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get_loss(spec)


def test_reductions_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="reduction must be one of mean, sum, none, but is 'average'"):
        get_loss("ce", reduction="average")
    with pytest.raises(InputError, match="smoothing over the others of 2 classes must be a number from 0 to 0.5"):
        get_loss("label-smoothing:0.6,spread=others")(torch.zeros(1, 2), torch.tensor([0]))


def test_classes_have_the_arguments_of_the_strings() -> None:
    assert str(FocalLoss(gamma=2)) == str(FocalLoss(2.0)) == "focal:2"
    assert str(ScheduledFocalLoss([5, 3], [10])) == "focal-scheduled:5,3@10"
    assert str(MMCELoss(base="brier")) == "mmce:2,base=brier"
