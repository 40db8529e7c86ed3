"""calkit: measure, show and mend the calibration of classifiers."""

from calkit._version import __version__

__all__ = ["__version__"]
