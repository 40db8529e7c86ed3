"""Reading and writing predictions: any saved file of logits, its arrays found by name."""

from calkit.containers.container import Container, Field
from calkit.io.address import is_address, split_address
from calkit.io.describe import ArrayDescription, FileDescription, describe
from calkit.io.formats import FORMATS, Format, WritableFormat, available_formats
from calkit.io.load import load_predictions
from calkit.io.opening import open_container
from calkit.io.save import save_predictions
from calkit.progress import Progress, watch
from calkit.roles.splits import splits_of
from calkit.sandbox.session import Sandbox

__all__ = [
    "FORMATS",
    "ArrayDescription",
    "Container",
    "Field",
    "FileDescription",
    "Format",
    "Progress",
    "Sandbox",
    "WritableFormat",
    "available_formats",
    "describe",
    "is_address",
    "load_predictions",
    "open_container",
    "save_predictions",
    "split_address",
    "splits_of",
    "watch",
]
