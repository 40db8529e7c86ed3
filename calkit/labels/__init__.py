"""Labels in any of their usual spellings, matched by value with the classes: the one rule of the whole package.

Classes have names: those of the caller or the file, else 0, 1, … K-1. A label is looked up among them by value,
whatever its type: 7, 7.0, ``"7"`` and ``b"7"`` are one label, as are True and ``"true"``. Nothing is inferred from
sorted order.
"""

from calkit.labels.answers import answers_match, as_correct
from calkit.labels.classes import ClassIndex, as_array, as_class_names
from calkit.labels.columns import SHARE_TOLERANCE, TrueColumns, as_label_matrix, classes_from_fit, encode_labels
from calkit.labels.values import as_labels, labels_in

__all__ = [
    "SHARE_TOLERANCE",
    "ClassIndex",
    "TrueColumns",
    "answers_match",
    "as_array",
    "as_class_names",
    "as_correct",
    "as_label_matrix",
    "as_labels",
    "classes_from_fit",
    "encode_labels",
    "labels_in",
]
