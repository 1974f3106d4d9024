"""Errors that a person can act on: what happened, what it means, what to do."""

from __future__ import annotations


class FedForgeError(Exception):
    """Base of every expected failure. The CLI prints it in one line and exits with `exit_code`.

    Args:
        message: what happened, with the file, key or number that caused it.
        remedy: what the reader can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


def failure_reason(error: BaseException) -> str:
    """Why a run failed, as its log says it: our own errors in full, others with their type."""
    text = str(error) if isinstance(error, FedForgeError) else f"{type(error).__name__}: {error}"
    return text[:2000]


class ConfigError(FedForgeError):
    """A wrong option, key or value in a configuration."""

    exit_code = 2


class DataError(FedForgeError):
    """A data file that is missing, broken, or not what it should be."""


class DownloadError(DataError):
    """What was to be downloaded did not come, or not whole; the same command may get it later."""

    exit_code = 75
    """`EX_TEMPFAIL` of sysexits.h."""


class AuditFailedError(FedForgeError):
    """An audit was made and found what blocks the use of the data; told apart from an audit that could not be made."""

    exit_code = 3


class BackboneError(FedForgeError):
    """A pretrained model that cannot be loaded or is of the wrong kind."""


class StorageError(FedForgeError):
    """A file or folder, most often the home, cannot be written or reached: read-only, full, or not a folder."""


class NetworkError(FedForgeError):
    """Another program, here or elsewhere, cannot be reached, or nobody can be served where one should."""


class ResourceError(FedForgeError):
    """The machine has no memory, process or file descriptor left to give."""


class RunError(FedForgeError):
    """A run that does not exist, exists already, or cannot do what was asked of it."""


class RunFailedError(RunError):
    """A federated run ended without a model, for the reason given."""


class RunStoppedError(FedForgeError):
    """A run was stopped on request; it can be resumed."""

    exit_code = 130
