"""Errors that a person can act on: what happened, what it means, what to do. All of them are in this tree, with the
exit code of a command that ends with one where that is not 1:

    FedForgeError
    ├── ConfigError                a wrong option, key or value (2)
    ├── DataError                  data that are missing, broken or not what they should be
    │   └── DownloadError          what was to be downloaded did not come whole (75)
    │       └── UnreachableError   its host gave nothing (75)
    ├── AuditFailedError           an audit found what blocks (3)
    ├── BackboneError              a pretrained model that cannot be loaded
    ├── StorageError               a file or folder that cannot be written or reached
    ├── OutputError                standard output that takes nothing
    ├── NetworkError               another program that cannot be reached
    ├── AskError                   a monitor that has not done what was asked
    │   ├── MonitorAwayError       later it may
    │   └── MonitorRefusedError    it will not
    ├── NodeRefusedError           a node that its SuperLink does not take (4)
    ├── ResourceError              no memory, process or file descriptor left
    ├── ProcessStartError          no further process can be started
    ├── WorkerDiedError            a worker that ended before its task did
    ├── DeviceError                a run that cannot go on on the device it began on
    ├── DivergedError              a model whose outputs are no numbers any more
    ├── EventTooLargeError         an event of more bytes than the contract allows
    ├── RunError                   a run that is not there, or cannot do what was asked
    │   └── RunFailedError         it ended without a model
    └── RunStoppedError            it was stopped and can be resumed (130)
"""

from __future__ import annotations

DEFECT = "This is a defect of FedForge; --debug shows where."
"""Said of an error that nobody expected."""
_MARKS = (".", "!", "?", "…", ":", ";", ",")


def sentences(*texts: str) -> str:
    """Texts as one, each a sentence of its own: one that another follows ends with a mark, and an empty one is none."""
    given = [text.strip() for text in texts if text.strip()]
    return " ".join([*(text if text.endswith(_MARKS) else f"{text}." for text in given[:-1]), *given[-1:]])


def cause_in_words(error: BaseException) -> str:
    """What an error says, for the end of a sentence: in one line, without its number or its full stop."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(words).split()).rstrip(".")


class FedForgeError(Exception):
    """Base of every expected failure. The CLI prints it in one line and exits with `exit_code`.

    Args:
        subject: what happened, with the file, key or number that caused it; a whole sentence where no cause is given.
        cause: the error by which it did.
        remedy: what the reader can do about it.
    """

    exit_code = 1

    def __init__(self, subject: str, *, cause: BaseException | None = None, remedy: str = "") -> None:
        super().__init__(subject)
        self.message = subject if cause is None else f"{subject}: {cause_in_words(cause)}."
        self.remedy = remedy

    def __str__(self) -> str:
        return sentences(self.message, self.remedy)


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


class UnreachableError(DownloadError):
    """The archive's host gave nothing: no network, no answer, or a refusal."""


class AuditFailedError(FedForgeError):
    """An audit was made and found what blocks the use of the data; told apart from an audit that could not be made."""

    exit_code = 3


class BackboneError(FedForgeError):
    """A pretrained model that cannot be loaded or is of the wrong kind."""


class StorageError(FedForgeError):
    """A file or folder, most often the home, cannot be written or reached: read-only, full, or not a folder."""


class OutputError(FedForgeError):
    """What a command has to say cannot be written to standard output; what it was to do is done."""


class NetworkError(FedForgeError):
    """Another program, here or elsewhere, cannot be reached, or nobody can be served where one should."""


class AskError(FedForgeError):
    """The monitor has not done what was asked.

    Args:
        cause: why, for the middle of a sentence.
        status: HTTP's, where there was an answer.
        retry_after: seconds that the answer asks to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        remedy: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.cause = cause
        self.status = status
        self.retry_after = retry_after


class MonitorAwayError(AskError):
    """The monitor cannot be reached, cannot do its work, or something else answers in its place; later it may be."""


class MonitorRefusedError(AskError):
    """The monitor itself has answered, and does not do what was asked."""


class NodeRefusedError(FedForgeError):
    """The SuperLink does not take this node, and trying again changes nothing."""

    exit_code = 4


class ResourceError(FedForgeError):
    """The machine has no memory, process or file descriptor left to give."""


class ProcessStartError(FedForgeError):
    """The system starts no further process, or the template is gone and no other can be started."""


class WorkerDiedError(FedForgeError):
    """The worker's process ended before its task did.

    Args:
        death: how, and what that likely means.
        failure: why no other was started in its place.
    """

    def __init__(self, death: str, failure: Exception | None = None) -> None:
        super().__init__(f"a worker process ended before its task did: {death}.{f' {failure}' if failure else ''}")
        self.death = death


class DeviceError(FedForgeError):
    """A run cannot go on on the device that it began on."""


class DivergedError(FedForgeError):
    """A model whose outputs are no finite numbers any more."""


class EventTooLargeError(FedForgeError):
    """An event of more bytes than the contract with monitors allows."""


class RunError(FedForgeError):
    """A run that does not exist, exists already, or cannot do what was asked of it."""


class RunFailedError(RunError):
    """A federated run ended without a model, for the reason given."""


class RunStoppedError(FedForgeError):
    """A run was stopped on request; it can be resumed."""

    exit_code = 130
