"""calkit_torch: train networks whose confidence can be believed."""

from calkit._version import __version__

__all__ = ["__version__"]
