"""Imported before torch by the parts that need it: says how to install it where it is missing."""

from calkit.errors import MissingDependencyError

__all__: list[str] = []

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingDependencyError(
        "calkit_torch needs torch; install it with: pip install 'calkit-calibration[torch]'"
    ) from None
