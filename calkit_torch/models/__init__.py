"""Networks for images, documents and trees, by name or by class.

>>> from calkit_torch.models import get_model
>>> model = get_model("resnet50", n_classes=10)
"""

from calkit_torch import _torch  # noqa: F401 (first, for its error)
from calkit_torch.models.classifier import Classifier
from calkit_torch.models.densenet import DenseNet
from calkit_torch.models.embeddings import PADDING, glove_embedding, random_embedding, read_glove
from calkit_torch.models.global_pooling_cnn import GlobalPoolingCNN
from calkit_torch.models.mlp import MLP
from calkit_torch.models.published import PUBLISHED, load_published
from calkit_torch.models.registry import MODELS, available_models, get_model
from calkit_torch.models.resnet import ResNet
from calkit_torch.models.row_dropout import RowDropout
from calkit_torch.models.tree_batch import TreeBatch, collate_trees
from calkit_torch.models.tree_lstm import TreeLSTM
from calkit_torch.models.trees import Tree, parse_tree
from calkit_torch.models.wide_resnet import WideResNet

__all__ = [
    "MLP",
    "MODELS",
    "PADDING",
    "PUBLISHED",
    "Classifier",
    "DenseNet",
    "GlobalPoolingCNN",
    "ResNet",
    "RowDropout",
    "Tree",
    "TreeBatch",
    "TreeLSTM",
    "WideResNet",
    "available_models",
    "collate_trees",
    "get_model",
    "glove_embedding",
    "load_published",
    "parse_tree",
    "random_embedding",
    "read_glove",
]
