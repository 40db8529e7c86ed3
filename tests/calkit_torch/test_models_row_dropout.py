"""Dropout whose masks do not depend on how a batch is divided; two processes are in test_training_distributed."""

import pytest
import torch
from torch import nn

from calkit.errors import InputError
from calkit_torch.models import RowDropout
from calkit_torch.models.row_dropout import BatchMasks, shared_masks


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def test_alone_it_is_that_of_torch():
    x = torch.randn(20, 30)
    torch.manual_seed(3)
    wanted = nn.Dropout(0.4)(x)
    torch.manual_seed(3)
    assert torch.equal(RowDropout(0.4)(x), wanted)
    assert torch.equal(RowDropout(0.4).eval()(x), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_of_a_batch_lose_what_the_whole_would(dtype):
    """Two layers running, as one process draws for them, with rows that are not one run of the batch."""
    x = torch.randn(9, 40, dtype=dtype)
    torch.manual_seed(5)
    wanted = nn.Dropout(0.5)(nn.Dropout(0.3)(x))
    torch.manual_seed(11)
    first, second = RowDropout(0.3), RowDropout(0.5)
    state = torch.get_rng_state()
    for rows in (torch.tensor([0, 1, 5]), torch.tensor([2, 3, 4, 6, 7, 8])):
        with shared_masks([first, second], BatchMasks(9, rows, seed=5)):
            assert torch.equal(second(first(x[rows])), wanted[rows])
    assert torch.equal(torch.get_rng_state(), state)
    assert first.masks is second.masks is None


def test_other_rows_than_those_of_the_logits_are_refused():
    layer = RowDropout()
    with (
        shared_masks([layer], BatchMasks(4, torch.tensor([0, 1]), seed=0)),
        pytest.raises(InputError, match="one row for each row of the logits, 2 here, but got 3"),
    ):
        layer(torch.zeros(3, 5))
