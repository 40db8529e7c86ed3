"""A convolutional network over word vectors with global max pooling, for documents.

Sources: the focal-loss calibration paper trains a "Global Pooling CNN" (after M. Lin, Q. Chen, S. Yan:
Network in network, ICLR 2014, section 3.2, who average where this network takes the maximum) on
20 Newsgroups; its layers are those of the Keras code of A. Kumar, S. Sarawagi, U. Jain: Trainable
calibration measures for neural networks from kernel mean embeddings, ICML 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from calkit.parameters import check_dropout, check_positive
from calkit_torch.models.classifier import Classifier
from calkit_torch.models.embeddings import PADDING, resolve_embedding
from calkit_torch.models.registry import MODELS
from calkit_torch.models.row_dropout import RowDropout

__all__ = ["GlobalPoolingCNN"]

_KERNEL = 5  # words, of the convolutions and of the pooling
_WINDOW = 1 + 5 * (_KERNEL - 1)  # words that one number before the global pooling depends on
_ROW = 512  # windows of a row of the packed documents


class GlobalPoolingCNN(Classifier[Tensor]):
    """A convolutional network for documents of any length.

    Layers: word vectors (100 numbers); convolution over 5 words, ReLU, maximum over 5 positions
    (stride 1); the same again; convolution over 5 words, ReLU; maximum over all positions; linear,
    ReLU, dropout; the linear layer ``classifier``. No layer pads, so every number before the global
    maximum depends on 21 words running.

    Parameters
    ----------
    n_classes : int
        Number of logits.
    vocabulary_size, embedding_dim : int, optional
        Number of ids and length of the word vectors to be learned from scratch (100 by default).
    embedding : nn.Embedding, optional
        Word vectors, instead of the two.
    width : int
        Channels of the convolutions and units of the hidden linear layer.
    dropout : float
        Rate of the dropout.

    Notes
    -----
    Padding does not change the result: words of id 0 are skipped wherever they stand, and the global
    maximum runs over the positions inside the document only. A document of fewer than 21 words is
    extended to 21 with vectors of zeros.

    The documents of a batch are written one after the other and convolved as one text, so that padding costs
    nothing: three quarters of 20 Newsgroups at 1,000 words a message are padding. Windows that reach into the next
    document are left out of the maximum. While ``torch.compile`` or ``torch.export`` records the network, whose
    shapes may not depend on the words, the padded documents are convolved instead; the logits are the same.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        vocabulary_size: int | None = None,
        embedding_dim: int | None = None,
        embedding: nn.Embedding | None = None,
        width: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        check_positive(n_classes=n_classes, width=width)
        check_dropout(dropout)
        self.embedding = resolve_embedding(embedding, vocabulary_size, embedding_dim, default_dim=100)
        self.conv1 = nn.Conv1d(self.embedding.embedding_dim, width, _KERNEL)
        self.conv2 = nn.Conv1d(width, width, _KERNEL)
        self.conv3 = nn.Conv1d(width, width, _KERNEL)
        self.hidden = nn.Linear(width, width)
        self.dropout = RowDropout(dropout)
        self.classifier = nn.Linear(width, n_classes)

    def features(self, inputs: Tensor) -> Tensor:
        """Map word ids (n, length) to the hidden layer, of shape (n, width); id 0 is padding."""
        words, n_words = _left_aligned(inputs)
        sizes = n_words.clamp(min=_WINDOW)
        packed = len(words) > 0 and not torch.compiler.is_compiling()
        x = self._packed_maxima(words, sizes) if packed else self._padded_maxima(words, sizes)
        hidden: Tensor = self.dropout(functional.relu(self.hidden(x)))
        return hidden

    def _padded_maxima(self, words: Tensor, sizes: Tensor) -> Tensor:
        """Return the maximum over the windows of each document, of shape (n, width), from padded documents."""
        x = self._windows(words)
        beyond = torch.arange(x.shape[1], device=x.device) > (sizes - _WINDOW).unsqueeze(1)
        return x.masked_fill(beyond.unsqueeze(2), -torch.inf).amax(dim=1)

    def _packed_maxima(self, words: Tensor, sizes: Tensor) -> Tensor:
        """Return the same from the documents written one after the other, in rows that overlap by a window."""
        text = words[torch.arange(words.shape[1], device=words.device) < sizes.unsqueeze(1)]
        missing = -(len(text) - _WINDOW + 1) % _ROW
        rows = functional.pad(text, (0, missing), value=PADDING).unfold(0, _ROW + _WINDOW - 1, _ROW)
        windows = self._windows(rows).flatten(0, 1)
        lengths = sizes.tolist()
        parts = torch.split(windows[: sum(lengths) - _WINDOW + 1], [*lengths[:-1], lengths[-1] - _WINDOW + 1])
        return torch.stack([part[: n - _WINDOW + 1].amax(dim=0) for part, n in zip(parts, lengths, strict=True)])

    def _windows(self, words: Tensor) -> Tensor:
        """Return what the third convolution makes of each 21 words running, of shape (n, length - 20, width)."""
        vectors = self.embedding(words) * (words != PADDING).unsqueeze(2)
        # As images of one line with the channels last: the memory of the vectors as it lies, and faster by a quarter.
        x = vectors.transpose(1, 2).unsqueeze(2)
        x = functional.max_pool2d(functional.relu(_convolved(x, self.conv1)), (1, _KERNEL), stride=1)
        x = functional.max_pool2d(functional.relu(_convolved(x, self.conv2)), (1, _KERNEL), stride=1)
        return functional.relu(_convolved(x, self.conv3)).squeeze(2).transpose(1, 2)


def _convolved(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """Apply a convolution over words to an image of one line."""
    weight = layer.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    return functional.conv2d(x, weight, layer.bias)


def _left_aligned(words: Tensor) -> tuple[Tensor, Tensor]:
    """Move the padding behind the words, make room for one window, and count the words."""
    padding = words == PADDING
    order = padding.to(torch.uint8).argsort(dim=1, stable=True)
    missing = max(0, _WINDOW - words.shape[1])
    return functional.pad(words.gather(1, order), (0, missing), value=PADDING), (~padding).sum(dim=1)


MODELS.register("global-pooling-cnn")(GlobalPoolingCNN)
