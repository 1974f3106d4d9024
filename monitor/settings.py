"""What a monitor is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from monitor.errors import MonitorError

NO_DASHBOARD = "no dashboard: `make dashboard` in a checkout builds it, which needs Node; then start the monitor again"
"""What is said in its place."""


class SettingsError(MonitorError):
    """The monitor cannot be started like this."""


@dataclass(frozen=True)
class Settings:
    """Everything that a deployment may choose.

    Args:
        home: FedForge's home; the database is in its folder `monitor`.
        host: the address that it listens on.
        port: its port; 0 chooses a free one.
        token: the operators'; who knows it may use a monitor that can be reached from other machines, and nobody else.
        ingest_token: who knows it may deliver events and take up what is asked for, and no more.
        origins: other origins whose pages may use it, for example a dashboard under development.
        behind_proxy: requests of other machines come through one on this machine.
        hosts: names under which it may be asked for, beside its own.
        silence: a run of which nothing is heard for as long is lost.
        lease_seconds: how long a claimant has a run unless it asks again.
        patience_seconds: a reader that does not take a frame of the stream within this time is cut off, and a request
            of which nothing more comes is given up.
        check_seconds: whoever asks what a claimant says of a request has an answer after so long, whatever it is.
        dashboard: the folder of the built dashboard, if there is one.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8400
    token: str | None = None
    ingest_token: str | None = None
    behind_proxy: bool = False
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    silence: timedelta = timedelta(seconds=30)
    lease_seconds: float = 30.0
    patience_seconds: float = 10.0
    check_seconds: float = 5.0
    dashboard: Path | None = None
    largest_body: int = 4 * 1024 * 1024
    largest_batch: int = 1000

    @property
    def database(self) -> Path:
        return self.home / "monitor" / "monitor.db"

    def check(self) -> None:
        """Raise `SettingsError` when it would be open to a network without a token, or its tokens make no sense.

        Also where the folder of the dashboard has none.
        """
        if self.dashboard is not None and not _is_dashboard(self.dashboard):
            raise SettingsError(
                f"there is no dashboard in {self.dashboard}: no index.html.",
                remedy="Name the folder that `npm run build` has made, or leave out --dashboard.",
            )
        if self.token is not None:
            if self.token == self.ingest_token:
                raise SettingsError(
                    "the tokens of operators and of emitters are the same.",
                    remedy="Set FEDFORGE_MONITOR_INGEST_TOKEN to another, or leave it out.",
                )
            return
        if self.ingest_token is not None:
            raise SettingsError(
                "there is a token for emitters and none for operators.", remedy="Set FEDFORGE_MONITOR_TOKEN."
            )
        if self.behind_proxy:
            raise SettingsError(
                "a monitor behind a proxy can be reached from other machines, and has no token.",
                remedy="Set FEDFORGE_MONITOR_TOKEN.",
            )
        if not is_loopback(self.host):
            raise SettingsError(
                f"a monitor that listens on {self.host} can be reached from other machines, and has no token.",
                remedy="Set FEDFORGE_MONITOR_TOKEN, or leave out --host.",
            )


def built_dashboard() -> Path | None:
    """The dashboard that came with this package, or was built in its checkout; `None` where it was not built."""
    package = Path(__file__).parent
    folders = [package / "static"]
    if (package.parent / "pyproject.toml").is_file():  # else what stands beside it is other packages'
        folders.append(package.parent / "dashboard" / "dist")
    return next(filter(_is_dashboard, folders), None)


def _is_dashboard(folder: Path) -> bool:
    return (folder / "index.html").is_file()


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
