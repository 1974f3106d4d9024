"""What can befall a federation, and what must come of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

Struck = Literal["client", "node", "template", "superlink", "run", "owner"]
Place = Literal["own", "standing"]
"""A federation of the run's own (`--engine superlink`), or one that outlives runs (`fedforge federation up`)."""
End = Literal["goes on", "ends", "either"]


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Args:
        name: for the table.
        struck: the process that gets the signal. `run` is `fedforge run`; `owner` that of a standing federation.
        place: whose federation it is.
        end: what the run must do: go on without whoever was struck, or end with a reason.
        reason: a regular expression that the reason of a run that ended must match; none, where a run that is killed
            itself can say nothing.
        signal: SIGKILL, or SIGSTOP for a process that hangs.
        minimum_clients: fewer answers than that end the run.
        while_training: strike while the client trains, for what makes no difference at another moment.
    """

    name: str
    struck: Struck
    place: Place
    end: End
    reason: str | None = None
    signal: signal.Signals = signal.SIGKILL
    minimum_clients: int = 2
    while_training: bool = False

    @property
    def hangs(self) -> bool:
        return self.signal == signal.SIGSTOP


_TOO_FEW = r"only \d of the \d clients needed gave a usable answer"
_LINK_ENDED = r"the SuperLink at .* ended: killed by SIGKILL"
_LINK_AWAY = r"the SuperLink at .* cannot be reached|its SuperLink was restarted"
_TEMPLATE = rf"{_TOO_FEW}|a worker process ended before its task did"

FAULTS = (
    Fault("client process killed", "client", "own", "goes on"),
    Fault("SuperNode killed", "node", "own", "goes on"),
    Fault("executor (template of the processes) killed", "template", "own", "either", _TEMPLATE),
    Fault("SuperLink killed", "superlink", "own", "ends", _LINK_ENDED),
    Fault("`fedforge run`, parent of everything, killed", "run", "own", "ends"),
    Fault("client process hangs", "client", "own", "goes on", signal=signal.SIGSTOP),
    Fault("SuperNode hangs", "node", "own", "goes on", signal=signal.SIGSTOP),
    Fault("too few clients are left", "client", "own", "ends", _TOO_FEW, minimum_clients=3, while_training=True),
    Fault("client process killed", "client", "standing", "goes on"),
    Fault("SuperNode killed", "node", "standing", "goes on"),
    Fault("executor (template of the processes) killed", "template", "standing", "either", _TEMPLATE),
    Fault("SuperLink killed", "superlink", "standing", "either", _LINK_AWAY),
    Fault("ServerApp (`fedforge run`) killed", "run", "standing", "ends"),
    Fault("client process hangs", "client", "standing", "goes on", signal=signal.SIGSTOP),
    Fault("SuperNode hangs", "node", "standing", "goes on", signal=signal.SIGSTOP),
    Fault("too few clients are left", "node", "standing", "ends", _TOO_FEW, minimum_clients=3, while_training=True),
    Fault("owner of the federation killed", "owner", "standing", "ends", _LINK_AWAY),
)


def fault(name: str, place: Place) -> Fault:
    """The one of this name."""
    return next(each for each in FAULTS if (each.name, each.place) == (name, place))
