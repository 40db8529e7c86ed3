"""Every error and warning calkit raises on purpose.

All errors derive from :class:`CalkitError`, so that a program can catch what calkit
says about its input without catching bugs. The command line turns them into one line
and an exit code (:attr:`CalkitError.exit_code`).
"""

from __future__ import annotations

__all__ = [
    "CalibrationWarning",
    "CalkitError",
    "FileFormatError",
    "InputError",
    "MissingDependencyError",
    "NotFoundError",
    "UsageError",
]


class CalkitError(Exception):
    """Base of all errors raised by calkit on purpose."""

    exit_code = 1


class InputError(CalkitError, ValueError):
    """An array or a value is not what the function can work with."""


class UsageError(CalkitError, ValueError):
    """A choice is missing, unknown or contradicts another one: the caller must say more."""

    exit_code = 2


class NotFoundError(UsageError, LookupError):
    """A name is not in a registry, a file or a folder; the message lists what is there."""

    __str__ = Exception.__str__


class FileFormatError(CalkitError, OSError):
    """A file is missing, truncated, or holds something else than its name says."""

    __str__ = Exception.__str__


class MissingDependencyError(CalkitError, ImportError):
    """An optional library is needed; the message names the pip extra that brings it."""

    __str__ = Exception.__str__


class CalibrationWarning(UserWarning):
    """A result is defined, but the data cannot support it (separable, constant, too few)."""
