"""Reading and writing predictions: any saved file of logits, its arrays found by name."""

from calkit.io.container import Container, Field
from calkit.io.formats import FORMATS, open_container
from calkit.io.load import load_predictions
from calkit.io.save import save_predictions

__all__ = ["FORMATS", "Container", "Field", "load_predictions", "open_container", "save_predictions"]
