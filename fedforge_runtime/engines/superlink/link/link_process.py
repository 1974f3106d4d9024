"""A SuperLink as a process of ours: stock Flower, watched, and gone when we are."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import httpx

from fedforge_runtime.engines.address import LinkAddress, own_host
from fedforge_runtime.engines.superlink.link.guarded_link import TRUSTED_NETWORKS, VISITORS_FOLDER
from fedforge_runtime.errors import RunFailedError
from fedforge_runtime.processes import Progress, explain_death
from fedforge_runtime.processes.lifeline import TiedProcess
from fedforge_runtime.telemetry.trust import trust_of

_STALLED_SECONDS = 60.0
"""One that computes nothing for so long while it starts hangs."""
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 1.0
_LOG_TAIL = 400
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class LinkProcess:
    """A running `fedforge-superlink`.

    It only relays: with `--isolation process` it starts no ServerApp itself, and the bundle of an app is never
    installed.

    Args:
        address: where it listens.
        folder: for its log and Flower's own files.
        options: more of its options, for example a database and certificates.
        remove_folder: have the folder removed when this process dies.
        trusted_networks: whose machines may start and drive runs, beside this one; others get what nodes need.
    """

    address: LinkAddress
    folder: Path
    options: Sequence[str] = ()
    remove_folder: bool = False
    trusted_networks: Sequence[str] = ()
    _process: TiedProcess | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.folder / "superlink.log"

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to start it; `wait_until_ready` says when it is there."""
        security = ["--insecure"] if self.address.insecure else []
        self._process = TiedProcess(
            [
                "fedforge-superlink",
                *security,
                "--host",
                self.address.host.strip("[]"),
                "--port",
                str(self.address.port),
                "--isolation",
                "process",
                "--disable-runtime-dependency-installation",
                *self.options,
            ],
            environment=flower_environment(self.folder)
            | {
                TRUSTED_NETWORKS: ",".join(self.trusted_networks),
                VISITORS_FOLDER: str(self.folder),
            },
            log=self.log,
            remove=self.folder if self.remove_folder else None,
        )

    def wait_until_ready(self, raise_if_stopped: Callable[[], None] = lambda: None) -> None:
        """Return once it answers, however long that takes where the machine is busy.

        Args:
            raise_if_stopped: asked all the while; what it raises ends the wait.

        Raises:
            RunFailedError: it ended instead, or hangs.
        """
        assert self._process is not None
        progress = Progress(self._process.pid, _STALLED_SECONDS)
        while True:
            self.raise_if_ended()
            if self.answers():
                return
            raise_if_stopped()
            if progress.has_stopped():
                raise RunFailedError(
                    f"the SuperLink at {self.address} does not answer and has done nothing for {_STALLED_SECONDS:g} s.",
                    remedy=f"See {self.log}.",
                )
            time.sleep(_POLL_SECONDS)

    def answers(self) -> bool:
        """Whether it answers now."""
        try:
            return httpx.get(
                f"{replace(self.address, host=own_host(self.address.host)).url}/health",
                verify=self._trust,
                timeout=_ANSWER_SECONDS,
                trust_env=False,
            ).is_success
        except httpx.HTTPError:
            return False

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return trust_of(self.address.url, self.address.root_certificates)

    def ended(self) -> str | None:
        """How it ended; `None` while it runs."""
        code = self._process.poll() if self._process else None
        return None if code is None else explain_death(code)

    def raise_if_ended(self) -> None:
        """Raise `RunFailedError` when it is there no longer."""
        ended = self.ended()
        if self._process and ended is not None:
            last_words = "" if self._process.returncode < 0 else self._last_words()
            raise RunFailedError(f"the SuperLink at {self.address} ended: {ended}.{last_words}")

    def _last_words(self) -> str:
        if not self.log.exists():
            return ""
        text = _COLOUR.sub("", self.log.read_text(errors="replace"))
        tail = " ".join(text[-_LOG_TAIL:].split())
        return f" Its last words: …{tail}" if tail else ""

    def end(self, *, grace: float = 0.0) -> None:
        """Have it ended when this returns."""
        if self._process:
            self._process.end(grace=grace)


def flower_environment(folder: Path) -> dict[str, str]:
    """What Flower's own processes need: a folder for their files, and no word to anybody outside."""
    return {
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_LOG_LEVEL": "WARNING",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }
