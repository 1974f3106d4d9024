"""What a browser does at the dashboard's origin: a session, requests with that origin, and the stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.e2e.command import wait_until
from tests.stack.compose import StackError
from tests.support.patience import PATIENCE_SECONDS

_AGAIN_SECONDS = 0.3


class Operator:
    """A session of one person."""

    def __init__(self, origin: str, token: str, name: str = "Ada") -> None:
        self.origin, self._name = origin, name
        self.http = httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=PATIENCE_SECONDS, trust_env=False)
        begun = self.http.post("/api/session", headers={"Authorization": f"Bearer {token}"}, json={"name": name})
        begun.raise_for_status()

    def get(self, path: str, **params: Any) -> Any:
        return self._answer(lambda: self.http.get(path, params=params))

    def ask_for(self, run_id: str, overrides: dict[str, Any], phase: str = "blood") -> None:
        """Ask for a run, as the form does."""
        request = {"phase": phase, "profile": "tuned", "overrides": overrides}
        answer = self.http.post("/api/runs", json={"run_id": run_id, "request": request})
        if answer.status_code != httpx.codes.CREATED:
            raise StackError(f"{run_id} is not taken: {answer.text}")

    def command(self, run_id: str, command: str) -> dict[str, Any]:
        answer = self.http.post(f"/api/runs/{run_id}/commands", json={"command": command, "given_by": self._name})
        if not answer.is_success:
            raise StackError(f"{command} of {run_id} is not taken: {answer.text}")
        given: dict[str, Any] = answer.json()
        return given

    def run(self, run_id: str) -> dict[str, Any]:
        view: dict[str, Any] = self.get(f"/api/runs/{run_id}")
        return view

    def wait_for(self, run_id: str, *states: str) -> dict[str, Any]:
        """The run's view once it is in one of these states."""

        def there() -> dict[str, Any] | None:
            view = self.run(run_id)
            if view["state"] == "failed" and "failed" not in states:
                raise StackError(f"{run_id} failed: {view['reason']}")
            return view if view["state"] in states else None

        view: dict[str, Any] = wait_until(there, f"{run_id} {' or '.join(states)}")
        return view

    def wait_for_round(self, run_id: str, number: int) -> None:
        wait_until(lambda: self.run(run_id)["round"] >= number, f"round {number} of {run_id}")

    @staticmethod
    def _answer(ask: Callable[[], httpx.Response]) -> Any:
        """Its JSON, once it comes: a part that is being restarted is asked again."""

        def answered() -> httpx.Response | None:
            with suppress(httpx.TransportError):
                answer = ask()
                return None if answer.status_code in (502, 503, 504) else answer
            return None

        answer: httpx.Response = wait_until(answered, "an answer")
        answer.raise_for_status()
        return answer.json()


class Following(threading.Thread):
    """Reads the stream of a run through the dashboard, and goes on from its cursor whenever it is cut."""

    def __init__(self, operator: Operator, run_id: str) -> None:
        super().__init__(name="following", daemon=True)
        self._address = f"{operator.origin.replace('http', 'ws')}/api/stream?run_id={run_id}"
        self._origin = operator.origin
        self._cookie = "; ".join(f"{name}={value}" for name, value in operator.http.cookies.items())
        self._ending = threading.Event()
        self.events: list[dict[str, Any]] = []
        self.connections = 0
        self.start()

    def run(self) -> None:
        while not self._ending.is_set():
            with suppress(OSError, WebSocketException, TimeoutError):
                self._read()
            time.sleep(_AGAIN_SECONDS)

    def _read(self) -> None:
        after = self.events[-1]["seq"] if self.events else 0
        with connect(
            f"{self._address}&after={after}",
            origin=self._origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": self._cookie},
            proxy=None,
            max_size=None,
        ) as stream:
            self.connections += 1
            while not self._ending.is_set():
                with suppress(TimeoutError):
                    frame = json.loads(stream.recv(timeout=1))
                    if frame["type"] == "events":
                        self.events += frame["events"]

    def end(self) -> None:
        self._ending.set()
        self.join()

    def types(self) -> set[str]:
        return {each["event"]["type"] for each in self.events}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one type, as they were stored."""
        return [each for each in list(self.events) if each["event"]["type"] == kind]

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of this type with these fields, once it is there."""

        def there() -> dict[str, Any] | None:
            found = (each for each in self.of(kind) if fields.items() <= each["event"].items())
            return next(found, None)

        event: dict[str, Any] = wait_until(there, f"{kind} {fields or ''}")
        return event

    def check(self) -> int:
        """How many there are; raises where one is missing or shown twice."""
        numbers = [each["seq"] for each in self.events]
        if numbers != list(range(1, len(numbers) + 1)):
            raise StackError(f"the stream gave {numbers[:50]}…: a gap or a repeat.")
        return len(numbers)
