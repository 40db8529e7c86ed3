"""Training that can be resumed exactly and leaves all that tables and figures need.

>>> from calkit_torch.training import get_recipe
>>> get_recipe(dataset="digits", model="small-resnet", loss="FLA-53").epochs
60
"""

from calkit_torch.training.callbacks.base import Callback
from calkit_torch.training.defaults import default_callbacks
from calkit_torch.training.loop import train
from calkit_torch.training.named_recipes import available_recipes, get_recipe
from calkit_torch.training.optimisers import OPTIMISERS, get_optimiser
from calkit_torch.training.recipe import Recipe
from calkit_torch.training.schedules import SCHEDULES, get_schedule
from calkit_torch.training.state import DivergedError, TrainingInterrupted, TrainingState
from calkit_torch.training.trained import trained_model

__all__ = [
    "OPTIMISERS",
    "SCHEDULES",
    "Callback",
    "DivergedError",
    "Recipe",
    "TrainingInterrupted",
    "TrainingState",
    "available_recipes",
    "default_callbacks",
    "get_optimiser",
    "get_recipe",
    "get_schedule",
    "train",
    "trained_model",
]
