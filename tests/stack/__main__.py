"""`python -m tests.stack [--keep]`: build, come up, operate a run as a browser would, break things, and leave nothing.

Each step says what it has shown and how long it took; the table is in `benchmarks/results/docker-smoke.json`, and
pictures of the pages are in `benchmarks/results/docker-smoke/`. Where a step fails, what every container has said is
there too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.command import wait_until
from tests.stack.compose import PARTS, ROOT, SITES, Stack, StackError, free_stack, run, why_no_engine
from tests.stack.operator import Following, Operator
from tests.stack.usage import at_rest
from tests.support.patience import PATIENCE_SECONDS

RESULTS = ROOT / "benchmarks" / "results"
SMALL = {"dataset.source": "phantom", "dataset.limit": 600, "backbone.name": "untrained"}
LONG = {**SMALL, "federation.rounds": 400}
SHORT = {**SMALL, "federation.rounds": 4}
STILL_SECONDS = 3.0
STOP_SECONDS = 2.0
HEALTHY_SECONDS = 90.0
OF_SITES = {"client_train_started", "client_train_completed", "client_evaluated"}
EVERY_RUN = OF_SITES | {
    "run_requested", "run_started", "run_described", "site_described", "stage_progress", "round_started",
    "model_dispatched", "client_update_uploaded", "aggregation_started", "aggregation_completed", "round_completed",
    "checkpoint_saved", "node_heartbeat", "run_paused", "run_resumed", "run_stopped",
}  # fmt: skip
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


@dataclass
class Table:
    """What was done, in how many seconds, and what it has shown."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """A step, which says what it has shown by adding to what it is given."""
        shown: list[str] = []
        began = time.monotonic()
        yield shown
        row = {"step": name, "seconds": round(time.monotonic() - began, 1), "shown": "; ".join(shown)}
        self.rows.append(row)
        sys.stdout.write(f"{row['seconds']:7.1f} s  {name}: {row['shown']}\n")
        sys.stdout.flush()


def require(holds: bool, what: str) -> None:
    if not holds:
        raise StackError(what)


def prove(stack: Stack, table: Table, *, browser: bool) -> None:
    """Every step, in their order."""
    with table.step("build") as shown:
        stack.compose("build")
        services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
        for service in PARTS[:2]:
            name = services[service]["image"]
            size = json.loads(run("docker", "image", "inspect", name).stdout)[0]["Size"]
            shown.append(f"{name} {size / 1e6:,.0f} MB")
    with table.step("up to healthy") as shown:
        began = time.monotonic()
        stack.compose("up", "--detach", "--wait")
        seconds = time.monotonic() - began
        shown.append(f"{len(PARTS)} parts healthy in {seconds:.0f} s, {HEALTHY_SECONDS:.0f} asked for")
    operator = Operator(stack.dashboard, stack.token())
    with table.step("sites are on line") as shown:
        wait_until(lambda: _sites_on_line(operator), "three sites on line")
        shown.append("all three, as GET /api/sites says")
    with table.step("what containers may") as shown:
        shown += _confined(stack)
    with table.step("who may ask") as shown:
        shown += _guarded(stack)
    with table.step("at rest") as shown:
        usage = at_rest(stack)
        shown.append(usage.in_words())
        RESULTS.joinpath("docker-usage.json").write_text(json.dumps(usage.parts, indent=2))
    _operate(stack, operator, table)
    model = _again(stack, operator, table)
    with table.step("derma, asked for at Dagster") as shown:
        shown.append(_derma(stack, operator))
    if browser:
        with table.step("by click, in chromium") as shown:
            shown.append(_by_click(stack))
    with table.step("down and up") as shown:
        stack.compose("down")
        stack.compose("up", "--detach", "--wait")
        operator = Operator(stack.dashboard, stack.token())
        require(operator.run("short")["model_sha256"] == model, "the run's model is another after down and up")
        wait_until(lambda: _sites_on_line(operator), "three sites on line again")
        shown.append("runs, tokens and keys are as before")


def _operate(stack: Stack, operator: Operator, table: Table) -> None:
    with table.step("start by REST, events over the socket") as shown:
        operator.ask_for("long", LONG)
        following = Following(operator, "long")
        following.wait_for("round_completed", round=2)
        shown.append(f"round 2 after {len(following.events)} events, of {len(following.types())} types")
    with table.step("pause") as shown:
        operator.command("long", "pause")
        operator.wait_for("long", "paused")
        before = operator.run("long")["round"]
        until = time.monotonic() + STILL_SECONDS
        while time.monotonic() < until:
            require(operator.run("long")["round"] == before, "a round was completed while it was paused")
            time.sleep(0.2)
        shown.append(f"effective before round {before + 1}, no round within {STILL_SECONDS:.0f} s")
    with table.step("resume") as shown:
        operator.command("long", "resume")
        operator.wait_for_round("long", before + 1)
        shown.append(f"round {before + 1} completed")
    with table.step("kill -9 of a site in mid-round") as shown:
        following.wait_for("client_train_started", round=operator.run("long")["round"] + 1, node_id="client-1")
        stack.inside("site-1", "kill -9 -1")
        at = operator.run("long")["round"]
        operator.wait_for_round("long", at + 2)
        restarts = wait_until(lambda: stack.container("site-1")["RestartCount"], "a new container process of site-1")
        rejoined = operator.run("long")["round"] + 1
        wait_until(
            lambda: any(each["event"]["round"] > rejoined and each["event"]["node_id"] == "client-1"
                        for each in following.of("client_train_completed")),
            "the site takes part again",
        )  # fmt: skip
        shown.append(f"rounds went on, site-1 is back after {restarts} restart and takes part")
    for service in ("monitor", "dashboard"):
        with table.step(f"restart of {service} in mid-run") as shown:
            connections = following.connections
            stack.compose("restart", service)
            wait_until(lambda: following.connections > connections, "the stream, again")  # noqa: B023
            operator.wait_for_round("long", operator.run("long")["round"] + 2)
            shown.append(f"{following.check()} events, none missing, none twice")
    with table.step("stop") as shown:
        operator.command("long", "stop")
        operator.wait_for("long", "stopped")
        following.wait_for("run_stopped")
        given = operator.get("/api/runs/long/commands")["commands"]
        (command,) = (each for each in given if each["command"] == "stop")
        shown.append(f"effective {command['seconds_to_effect']:.2f} s after it was given")
        acknowledged = _seconds_after_acknowledgement(following)
        require(acknowledged <= STOP_SECONDS, f"it took {acknowledged:.2f} s from the acknowledgement")
        shown.append(f"{acknowledged:.2f} s after the acknowledgement")
        last = operator.run("long")["last_seq"]
        wait_until(lambda: following.events[-1]["seq"] >= last, f"event {last} over the stream")
        following.end()
        following.check()
        missing = EVERY_RUN - following.types()
        require(not missing, f"the stream had no {', '.join(sorted(missing))}")
        shown.append(f"{len(following.events)} events, of {len(following.types())} types")


def _seconds_after_acknowledgement(following: Following) -> float:
    """From the event by which the run took the stop to the one by which it had stopped."""
    taken = [each for each in following.of("command_acknowledged") if each["event"]["command"] == "stop"]
    stopped = following.of("run_stopped")
    require(bool(taken and stopped), "there is no acknowledgement of the stop")
    at = (datetime.fromisoformat(each["received_at"]) for each in (stopped[-1], taken[-1]))
    return (next(at) - next(at)).total_seconds()


def _again(stack: Stack, operator: Operator, table: Table) -> str:
    with table.step("start again, to the end") as shown:
        operator.ask_for("short", SHORT)
        model: str = operator.wait_for("short", "completed")["model_sha256"]
        shown.append(f"model {model[:12]}…")
    with table.step("the same in one process of the same image") as shown:
        options = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
        alone = stack.compose(
            *("exec", "--no-TTY", "--env", "FEDFORGE_MONITOR=", "dagster-code", "fedforge", "run", "blood"),
            *("--profile", "tuned", "--clients", "3", *options, "--engine", "inprocess", "--no-bounds", "--json"),
        )
        other = json.loads(alone.stdout)["model_sha256"]
        require(other == model, f"inprocess ends with {other}, the stack with {model}")
        shown.append("the same hash")
    return model


def _sites_on_line(operator: Operator) -> bool:
    return sum(bool(site["online"]) for site in operator.get("/api/sites")["sites"]) == len(SITES)


def _confined(stack: Stack) -> list[str]:
    """What no container may, tried inside each of them."""
    for service in PARTS:
        uid = stack.compose("exec", "--no-TTY", service, "id", "-u").stdout.strip()
        require(uid not in ("", "0"), f"{service} runs as user {uid!r}")
        require(stack.container(service)["HostConfig"]["ReadonlyRootfs"], f"the root of {service} is not read-only")
        written = stack.compose("exec", "--no-TTY", service, "touch", "/opt/x", "/etc/x", "/usr/x", check=False)
        require(written.returncode != 0, f"{service} wrote /etc")
        capabilities = stack.compose("exec", "--no-TTY", service, "grep", "CapEff", "/proc/self/status").stdout.split()
        require(int(capabilities[-1], 16) == 0, f"{service} has capabilities {capabilities[-1]}")
    mounts = {
        service: {each.get("Name", each["Source"]).removeprefix(f"{stack.project}_"): each["RW"]
                  for each in stack.container(service)["Mounts"] if each["Type"] != "tmpfs"}
        for service in PARTS
    }  # fmt: skip
    for site in SITES:
        own = {f"secrets-{site}": False, f"rows-{site}": False, site: True}
        require(mounts[site] == own, f"{site} has the volumes {mounts[site]}")
        others = [each for each in SITES if each != site]
        for part, port, network in [
            ("monitor", 8400, "control"), ("dagster-code", 4000, "control"), *((each, 9092, each) for each in others)
        ]:  # fmt: skip
            address = stack.address(part, network)
            tried = stack.inside(site, f"timeout 3 bash -c '</dev/tcp/{address}/{port}'")
            require(tried.returncode != 0, f"{site} reaches {part}")
            named = stack.inside(site, f"getent hosts {part}")
            require(named.returncode != 0, f"{site} knows the name of {part}")
        reached = stack.inside(site, "timeout 3 bash -c '</dev/tcp/superlink/9092'")
        require(reached.returncode == 0, f"{site} does not reach the SuperLink")
    return [
        "no root, no capability, read-only roots",
        "a site has its own volumes alone, its key and rows read-only",
        "and no way to the monitor, the run or another site",
    ]


def _guarded(stack: Stack) -> list[str]:
    """What is refused at the dashboard's origin."""
    with httpx.Client(base_url=stack.dashboard, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        require(client.get("/api/runs").status_code == 401, "runs are shown without the token")
        wrong = {"Authorization": f"Bearer {stack.token()}", "Origin": "https://evil.example"}
        require(client.get("/api/runs", headers=wrong).status_code == 403, "another origin is taken")
        rebound = client.get("/api/runs", headers={"Host": "evil.example"})
        require(rebound.status_code == 421, f"another host is taken: {rebound.status_code}")
        page = client.get("/runs/some.run")
        require(page.is_success and "default-src 'self'" in page.headers["content-security-policy"], "no CSP")
        for path in ("/api/nothing", "/assets/nothing.js", "/nothing.txt"):
            code = client.get(path, headers={"Authorization": wrong["Authorization"]}).status_code
            require(code == 404, f"{path} is {code}")
    return ["401 without the token, 403 of another origin, 421 under another name", "CSP, real 404"]


def _derma(stack: Stack, operator: Operator) -> str:
    """A Dagster run of the job of Derma, whose federated run is shown at the monitor."""
    job = {"repositoryLocationName": "fedforge", "repositoryName": "__repository__", "jobName": "derma_phase"}
    small = {"dataset.limit": 600, "federation.rounds": 2}
    settings = {"data": "phantom", "backbone": "untrained", "overrides": small, "bounds": False}
    config = {"resources": {"derma_settings": {"config": settings}}}

    def ask(query: str, **variables: Any) -> Any:
        asked = {"query": query, "variables": variables}
        answer = httpx.post(f"{stack.dagster}/graphql", json=asked, timeout=PATIENCE_SECONDS, trust_env=False).json()
        require("errors" not in answer, str(answer))
        return next(iter(answer["data"].values()))

    launched = ask(LAUNCH, params={"selector": job, "mode": "default", "runConfigData": config})
    require("run" in launched, str(launched))
    run_id = launched["run"]["runId"]
    over = ("SUCCESS", "FAILURE", "CANCELED")
    status = wait_until(lambda: (s := ask(STATUS, run=run_id)["status"]) in over and s, "the end of Derma")
    require(status == "SUCCESS", f"Dagster says {status}")
    runs = [each for each in operator.get("/api/runs", phase="derma")["runs"] if each["state"] == "completed"]
    require(len(runs) == 1, f"the monitor shows {len(runs)} completed runs of derma")
    return f"{runs[0]['run_id']}, {runs[0]['round']} rounds, accepted"


def _by_click(stack: Stack) -> str:
    stack_of_page = {"FEDFORGE_STACK": stack.dashboard, "FEDFORGE_STACK_TOKEN": stack.token()}
    environment = {**os.environ, **stack_of_page, "FEDFORGE_STACK_SHOTS": str(RESULTS / "docker-smoke")}
    words = ["npm", "run", "--silent", "e2e", "--", "--project=stack"]
    done = subprocess.run(
        words, cwd=ROOT / "dashboard", env=environment, capture_output=True, text=True, timeout=3 * PATIENCE_SECONDS
    )
    require(done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:])
    return done.stdout.strip().splitlines()[-1].strip()


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it up, to look at it")
    parser.add_argument("--no-browser", action="store_true", help="leave out what is clicked")
    options = parser.parse_args()
    if why := why_no_engine():
        sys.stderr.write(f"error: the stack cannot be tried: {why} It needs Docker with Compose and buildx.\n")
        return 1
    RESULTS.mkdir(parents=True, exist_ok=True)
    stack, table, failed = free_stack(f"fedforge-smoke-{os.getpid()}"), Table(), True
    try:
        prove(stack, table, browser=not options.no_browser)
        failed = False
    except Exception as error:
        stack.logs(RESULTS / "docker-smoke")
        if not isinstance(error, StackError):
            traceback.print_exc()
        sys.stderr.write(f"error: {error}\nwhat the containers said: {RESULTS / 'docker-smoke'}\n")
    finally:
        (RESULTS / "docker-smoke.json").write_text(json.dumps(table.rows, indent=2, ensure_ascii=False))
        if options.keep:
            sys.stderr.write(f"it is up: {stack.dashboard}, project {stack.project}\n")
        else:
            stack.compose("--profile", "demo", "down", "--volumes", "--remove-orphans", check=False)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
