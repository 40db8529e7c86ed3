"""The Global Pooling CNN against a computation document by document, word by word; padding."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from calkit.errors import InputError, UsageError
from calkit_torch.models import PADDING, GlobalPoolingCNN, get_model, random_embedding
from tests.calkit_torch.model_oracles import document_logits

VOCABULARY_SIZE = 40
DOCUMENTS = st.lists(st.lists(st.integers(1, VOCABULARY_SIZE - 1), max_size=45), min_size=1, max_size=4)


def small_model() -> GlobalPoolingCNN:
    model = get_model("global-pooling-cnn:embedding_dim=6,width=5", 3, vocabulary_size=VOCABULARY_SIZE).double().eval()
    assert isinstance(model, GlobalPoolingCNN)
    # Word vectors of the size of trained ones, so that documents differ.
    with torch.no_grad():
        model.embedding.weight[1:] = torch.randn(
            VOCABULARY_SIZE - 1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
    return model


MODEL = small_model()


def padded(documents: Sequence[Sequence[int]], length: int) -> Tensor:
    return torch.tensor([[*d, *[PADDING] * (length - len(d))] for d in documents], dtype=torch.int64)


@settings(deadline=None, max_examples=30)
@given(DOCUMENTS, st.integers(0, 30))
def test_a_batch_with_any_padding_equals_its_documents(documents: list[list[int]], extra: int) -> None:
    batch = padded(documents, max(map(len, documents)) + extra)
    expected = torch.stack([document_logits(MODEL, document) for document in documents])
    with torch.no_grad():
        torch.testing.assert_close(MODEL(batch), expected, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, VOCABULARY_SIZE - 1), max_size=60))
def test_padding_before_and_between_words_changes_nothing(words: list[int]) -> None:
    kept = [word for word in words if word != PADDING]
    with torch.no_grad():
        got = MODEL(torch.tensor([words], dtype=torch.int64))
        torch.testing.assert_close(got[0], document_logits(MODEL, kept), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", [0, 1, 4, 5, 20, 21, 22, 60])
def test_documents_of_any_length_have_logits(length: int) -> None:
    # 21 words is what one output depends on; 5 is the kernel.
    words = torch.arange(length).remainder(VOCABULARY_SIZE - 1)[None] + 1
    with torch.no_grad():
        logits = MODEL(words)
    assert logits.shape == (1, 3)
    assert logits.isfinite().all()


def test_documents_that_fill_several_rows_equal_padded_ones() -> None:
    """The network convolves a batch as one text in rows of 512 windows; under torch.compile, padded documents."""
    generator = torch.Generator().manual_seed(1)
    sizes = [0, 700, 21, 490, 1300, 3, 22]
    batch = padded([torch.randint(1, VOCABULARY_SIZE, (n,), generator=generator).tolist() for n in sizes], 1300)
    found = []
    for model in (MODEL, torch.compile(MODEL, backend="eager", fullgraph=True)):
        MODEL.zero_grad()
        logits = model(batch)
        logits.square().sum().backward()
        found.append([logits.detach(), *(p.grad.clone() for p in MODEL.parameters())])
    for packed, whole in zip(*found, strict=True):
        torch.testing.assert_close(packed, whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("words", [torch.zeros(0, 30, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64)])
def test_nothing_to_read(words: Tensor) -> None:
    assert MODEL(words).shape == (len(words), 3)


def test_logits_keep_the_precision_of_the_weights_under_autocast() -> None:
    model = get_model("global-pooling-cnn:embedding_dim=6,width=5", 3, vocabulary_size=VOCABULARY_SIZE).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(padded([[3, 8, 1, 2] * 8], 32))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_padding_changes_no_gradient() -> None:
    documents = [[3, 8, 1, 2] * 8, [5, 6]]
    found = []
    for extra in (0, 17):
        MODEL.zero_grad()
        MODEL(padded(documents, 32 + extra)).square().sum().backward()
        found.append([p.grad.clone() for p in MODEL.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(MODEL.parameters()))
    for plain, with_padding in zip(*found, strict=True):
        torch.testing.assert_close(plain, with_padding)
    assert not found[0][0][PADDING].any()


def test_the_order_of_the_words_matters_but_not_where_a_passage_stands() -> None:
    passage = list(range(1, 22))
    with torch.no_grad():
        forwards, backwards = MODEL(padded([passage, passage[::-1]], 21))
        assert not torch.allclose(forwards, backwards)


def test_vectors_given_are_used_whatever_stands_in_the_row_of_the_padding() -> None:
    vectors = random_embedding(VOCABULARY_SIZE, 6, seed=2)
    model = GlobalPoolingCNN(3, embedding=vectors, width=5).eval()
    assert model.embedding is vectors
    with torch.no_grad():
        expected = model(padded([[4, 5, 6]], 3))
        vectors.weight[PADDING] = 7.0
        assert torch.equal(model(padded([[4, 5, 6]], 9)), expected)


def test_dropout_acts_in_training_only() -> None:
    model = GlobalPoolingCNN(3, vocabulary_size=VOCABULARY_SIZE, width=2000, dropout=0.3)
    words = torch.arange(1, 31)[None]
    whole = model.eval().features(words)
    dropped = model.train().features(words)
    lost = (dropped == 0) & (whole != 0)
    assert lost.sum().item() / (whole != 0).sum().item() == pytest.approx(0.3, abs=0.05)


def test_embedding_and_size_exclude_each_other() -> None:
    vectors = random_embedding(4, 5)
    for size in ({"vocabulary_size": 4}, {"embedding_dim": 5}):
        with pytest.raises(UsageError, match="embedding already has its size"):
            GlobalPoolingCNN(3, embedding=vectors, **size)
    with pytest.raises(UsageError, match="give either embedding"):
        GlobalPoolingCNN(3)
    with pytest.raises(InputError, match="embedding_dim must be a whole number of at least 1, but is 0"):
        GlobalPoolingCNN(3, vocabulary_size=4, embedding_dim=0)
