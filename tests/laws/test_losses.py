"""Every registered loss under every law, unasked."""

import pytest
import torch

from calkit_torch.losses import Loss, available_losses
from calkit_torch.losses._base import LOSSES
from calkit_torch.testing import LOSS_LAWS, check_loss, maker


@pytest.mark.parametrize("law", LOSS_LAWS)
@pytest.mark.parametrize("name", available_losses())
def test_law(name, law):
    LOSS_LAWS[law](maker(name))


@pytest.mark.parametrize("spec", ["mdca:1,base=focal:3", "FLA-53", "FLS-532", "LS-0.05"])
def test_laws_with_parameters(spec):
    check_loss(spec)


class ForgetsTheIgnored(Loss):
    """Takes ignored samples for those of class 0."""

    def values(self, logits, targets):
        return torch.nn.functional.cross_entropy(logits, targets.y.clamp(min=0), reduction="none")


def test_a_broken_loss_is_caught(monkeypatch):
    ForgetsTheIgnored.name = "forgets"
    monkeypatch.setitem(LOSSES._items, "forgets", ForgetsTheIgnored)
    with pytest.raises(AssertionError, match="ignored"):
        check_loss("forgets")
