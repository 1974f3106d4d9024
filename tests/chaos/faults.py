"""What can befall a federation, and what must come of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

Struck = Literal[
    "client", "node", "template", "superlink", "run", "owner", "link", "forks", "disk", "site disk", "rival"
]
"""A process; or the line of a node, the system's readiness to fork, the disk of the home, the claim to a site."""
Place = Literal["own", "standing", "linked"]
"""A federation of the run's own (`--engine superlink`), one that outlives runs (`fedforge federation up`), or one
whose nodes are `fedforge node` processes with homes of their own, each behind a proxy."""
Moment = Literal["round", "training", "aggregation"]
"""Somewhere in the round, while a client trains, or when the updates are there and are not evaluated yet."""
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
        moment: when to strike.
        link: what the line does, see `strikes.LINK_FAULTS`.
    """

    name: str
    struck: Struck
    place: Place
    end: End
    reason: str | None = None
    signal: signal.Signals = signal.SIGKILL
    minimum_clients: int = 2
    moment: Moment = "round"
    link: str = ""

    @property
    def hangs(self) -> bool:
        return self.signal == signal.SIGSTOP


_TOO_FEW = r"only \d of the \d clients needed gave a usable answer"
_LINK_ENDED = r"the SuperLink at .* ended: killed by SIGKILL"
_LINK_AWAY = r"the SuperLink at .* cannot be reached|its SuperLink was restarted"
_DISK = r"[Nn]o space left"
_TEMPLATE = rf"{_TOO_FEW}|a worker process ended before its task did"

FAULTS = (
    Fault("client process killed", "client", "own", "goes on"),
    Fault("SuperNode killed", "node", "own", "goes on"),
    Fault("executor (template of the processes) killed", "template", "own", "either", _TEMPLATE),
    Fault("SuperLink killed", "superlink", "own", "ends", _LINK_ENDED),
    Fault("`fedforge run`, parent of everything, killed", "run", "own", "ends"),
    Fault("client process hangs", "client", "own", "goes on", signal=signal.SIGSTOP),
    Fault("SuperNode hangs", "node", "own", "goes on", signal=signal.SIGSTOP),
    Fault("too few clients are left", "client", "own", "ends", _TOO_FEW, minimum_clients=3, moment="training"),
    Fault("client process killed", "client", "standing", "goes on"),
    Fault("SuperNode killed", "node", "standing", "goes on"),
    Fault("executor (template of the processes) killed", "template", "standing", "either", _TEMPLATE),
    Fault("SuperLink killed", "superlink", "standing", "either", _LINK_AWAY),
    Fault("ServerApp (`fedforge run`) killed", "run", "standing", "ends"),
    Fault("client process hangs", "client", "standing", "goes on", signal=signal.SIGSTOP),
    Fault("SuperNode hangs", "node", "standing", "goes on", signal=signal.SIGSTOP),
    Fault("too few clients are left", "node", "standing", "ends", _TOO_FEW, minimum_clients=3, moment="training"),
    Fault("owner of the federation killed", "owner", "standing", "ends", _LINK_AWAY),
    Fault(
        "SuperLink killed between training and evaluation",
        "superlink",
        "standing",
        "either",
        _LINK_AWAY,
        moment="aggregation",
    ),
    Fault("no process can be forked while a client's is replaced", "forks", "own", "either", _TOO_FEW),
    Fault("line of a node cut for a moment", "link", "linked", "goes on", link="cut"),
    Fault("line of a node stalls for a moment", "link", "linked", "goes on", link="stalled"),
    Fault("a proxy answers a node in HTML for a moment", "link", "linked", "goes on", link="html"),
    Fault("nobody listens for a node for a moment", "link", "linked", "goes on", link="refused"),
    Fault("second node for a site", "rival", "linked", "goes on"),
    Fault("disk of the home full", "disk", "own", "ends", _DISK),
    Fault("disk of a site full for a moment", "site disk", "linked", "goes on"),
)


def fault(name: str, place: Place) -> Fault:
    """The one of this name."""
    return next(each for each in FAULTS if (each.name, each.place) == (name, place))
