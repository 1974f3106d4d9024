"""Starts and resumes runs: validate, prepare, hand over to an engine, and leave a true record of the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fedforge_runtime.clock import monotonic
from fedforge_runtime.config import RunConfig, RuntimeConfig, read_run_config
from fedforge_runtime.engines import TEMPLATE_MODULES, check_engine, open_engine
from fedforge_runtime.engines.address import LinkAddress
from fedforge_runtime.engines.base import Engine, Federation
from fedforge_runtime.errors import (
    AskError,
    ConfigError,
    FedForgeError,
    NetworkError,
    ResourceError,
    RunError,
    RunStoppedError,
    StorageError,
    failure_reason,
    sentences,
)
from fedforge_runtime.errors.system import explain, explained
from fedforge_runtime.federation.descriptions import describe_run
from fedforge_runtime.federation.strategies import build_strategy
from fedforge_runtime.hardware.devices import DeviceDecision, DeviceRequest, WorkerBackend, decide_device, keep_device
from fedforge_runtime.preparation.inputs import RunInputs
from fedforge_runtime.preparation.prepare import (
    Prepared,
    check_preparation,
    inputs_exist,
    prepare,
    prepare_caches,
    run_inputs,
)
from fedforge_runtime.preparation.workshop import Workshop
from fedforge_runtime.processes import UntilLoaded
from fedforge_runtime.processes.environment import allow_mps_fallback, given_attempt
from fedforge_runtime.processes.ownership import OwnedError, owning
from fedforge_runtime.record.documents import read_inputs
from fedforge_runtime.record.participants import read_participants
from fedforge_runtime.record.records import read_records
from fedforge_runtime.record.state import run_state
from fedforge_runtime.runs.finish import Evidence, record_evidence
from fedforge_runtime.runs.telling import TellingNarrator
from fedforge_runtime.sites.node_data import EVENTS, HOME, INPUTS, SHARDS
from fedforge_runtime.sites.settings import RunSettings
from fedforge_runtime.sites.shard_handover import hand_over
from fedforge_runtime.sites.shards import prepare_shards, site_folder
from fedforge_runtime.storage.artifacts import write_atomically, write_json
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.storage.run_ids import find_run
from fedforge_runtime.telemetry.control import (
    INTERRUPTED,
    AlwaysRun,
    BothControls,
    Control,
    SignalControl,
    StopBySignal,
    hear_stop,
    obey,
)
from fedforge_runtime.telemetry.emitter import Emitter, Heartbeat
from fedforge_runtime.telemetry.monitor_client import MonitorAddress, MonitorClient
from fedforge_runtime.telemetry.narration import Narrator
from fedforge_runtime.telemetry.outbox import Outbox
from fedforge_runtime.telemetry.reach import MonitorReach
from fedforge_runtime.telemetry.remote_control import RemoteControl
from monitor.schema import RunFailed, RunRequest, RunRequested, RunResumed, RunStopped

_REPORT_SECONDS = 10.0
_NUMBERS_ALONE = Evidence(bounds=False, report=False)


def check_request(config: RunConfig, participants_file: Path | None, engine: Engine | None = None) -> None:
    """Refuse what could only fail later: an unknown engine, strategy or participant, or sites out of reach.

    Args:
        engine: by default the one that the configuration names.

    Raises:
        ConfigError: with the nearest right value.
    """
    check_engine(config.runtime.engine)
    link = _link_address(config.runtime)
    _monitor_address(config.runtime)
    if config.federation.site_data == "own" and engine is None and link is None:
        raise ConfigError(
            "the sites of this run bring their own data, and only a federation of theirs reaches them, but the run "
            f"would start sites of its own with engine {config.runtime.engine}.",
            remedy="Name the federation's SuperLink: --superlink HOST:PORT.",
        )
    build_strategy(config.federation.strategy)
    if participants_file:
        read_participants(participants_file, rounds=config.federation.rounds, sites=config.sites)


def start_run(
    config: RunConfig,
    *,
    home: Home,
    run_id: str,
    request: RunRequest,
    narrator: Narrator,
    participants_file: Path | None = None,
    engine: Engine | None = None,
    evidence: Evidence = _NUMBERS_ALONE,
) -> RunFolder:
    """Run a federation from the beginning and return its folder.

    A request that is refused, or that no data can be prepared for, leaves nothing behind: the monitor knows why; nor
    does one that ends before its first event. A run that has begun keeps its folder and its log.

    Args:
        evidence: what is made of the completed run beside its numbers.
        engine: by default the one that the configuration names.

    Raises:
        ConfigError, DataError, BackboneError, StorageError: the request cannot be carried out.
        RunFailedError: it was begun and ended without a model.
        RunStoppedError: it was stopped and can be resumed.
    """
    folder, made_home = home.run(run_id), not home.root.exists()
    config = _number_sites(config)
    check_request(config, participants_file, engine)
    check_preparation(config, home)
    workshop = _workshop(config, home, narrator)
    if folder.path.exists():
        raise RunError(
            f"the run {run_id!r} exists already.",
            remedy=f"Choose another --run-id, or: fedforge resume {run_id}",
        )
    with workshop:
        engine = engine or open_engine(config.runtime.engine)
        attempt = _Attempt(workshop, engine, folder, given_attempt(), evidence, begins=True)
        _create_folder(folder, config, participants_file)
        with _locked(folder):
            try:
                attempt.run(
                    lambda emitter: emitter.emit(RunRequested, round_number=0, node_id="server", request=request)
                )
            except BaseException:
                has_said_anything = folder.events.exists() and folder.events.stat().st_size
                if attempt.leaves_nothing or not has_said_anything:
                    _remove(folder, home.root if made_home else folder.path.parent)
                raise
    return folder


def resume_run(
    run_id: str,
    *,
    home: Home,
    narrator: Narrator,
    runtime: RuntimeConfig | None = None,
    evidence: Evidence = _NUMBERS_ALONE,
) -> RunFolder:
    """Go on with a run from its last checkpoint; it ends with the hash of an undisturbed run.

    Args:
        evidence: as `start_run`.
        runtime: where to run this attempt, by default as before; it does not change the model.

    Raises:
        RunError: the run is unknown, finished, still running, or its inputs have changed.
        Others as `start_run`.
    """
    folder = find_run(run_id, home)
    home.require_writable()
    with _locked(folder):
        # Only now nobody else can complete it.
        state = run_state(folder, locked=True)
        if state.state == "completed":
            raise RunError(f"the run {run_id!r} is finished.", remedy=f"See it with: fedforge show {run_id}")
        config = read_run_config(folder.config)
        if runtime:
            config = config.model_copy(update={"runtime": runtime})
        check_request(config, _replay(folder))
        with _workshop(config, home, narrator) as workshop:
            engine, number = open_engine(config.runtime.engine), max(state.attempt + 1, given_attempt())
            _Attempt(workshop, engine, folder, number, evidence).run(
                lambda emitter: emitter.emit(RunResumed, round_number=len(read_records(folder)), node_id="server")
            )
    return folder


@dataclass
class _Attempt:
    """One attempt at one run, whose folder and lock it holds.

    Args:
        workshop: for preparation and features; the engine has workers of its own.
        begins: it is the first, whose folder is made for it.
    """

    workshop: Workshop
    engine: Engine
    folder: RunFolder
    number: int
    evidence: Evidence
    begins: bool = False
    leaves_nothing: bool = field(default=False, init=False)
    """Nothing could be prepared for it, and whoever is to know why was told."""
    started: float = field(default_factory=monotonic, init=False)

    def run(self, announce: Callable[[Emitter], object]) -> None:
        """Everything from the first event to the last."""
        folder = self.folder
        with (
            Emitter(folder.events, run_id=folder.run_id, role="server", attempt=self.number) as emitter,
            self._operator() as operator,
        ):
            self.workshop.narrator = narrator = TellingNarrator(self.workshop.narrator, emitter)
            with (
                SignalControl().installed() as signals,
                obey(control := BothControls(signals, operator)),
                UntilLoaded(control.raise_if_stopped),
            ):
                try:
                    announce(emitter)
                    with Heartbeat(emitter, node_id="server"):
                        with signals.interrupting(), StopBySignal(operator):
                            prepared = self._prepared()
                        prepared_at = monotonic()
                        inputs = self._inputs(prepared, control)
                    self.workshop.pool.close()
                    featured_at = monotonic()
                    self._federate(inputs, emitter)
                except BaseException as error:
                    failure = explained(error, folder.path) or error
                    if isinstance(error, KeyboardInterrupt):
                        failure = RunStoppedError(f"stopped: {INTERRUPTED}.")
                    if self._completed():
                        self._end_completed(failure)
                    else:
                        self._end_uncompleted(emitter, failure)
                        if failure is error:
                            raise
                        raise failure from error
            self._record_seconds(prepared_at, featured_at)
            with Heartbeat(emitter, node_id="server", round_number=len(read_records(folder))), StopBySignal(operator):
                record_evidence(folder, self.evidence, home=self.workshop.home, narrator=narrator)
                self._send_report()

    def _send_report(self) -> None:
        """Where the monitor stands elsewhere, it has the page from here; it can be sent again with the events."""
        address = _monitor_address(self.workshop.config.runtime)
        if address is None or not self.evidence.report or not self.folder.report.exists():
            return
        try:
            with MonitorClient(address, patience=_REPORT_SECONDS, emits=True) as client:
                client.send_page(f"/api/runs/{self.folder.run_id}/report", self.folder.report.read_bytes())
        except (AskError, OSError) as error:
            self.workshop.narrator.notice(f"The report has not reached the monitor: {error}")

    def _prepared(self) -> Prepared | None:
        """What is to be made of the configuration; `None` where the run's inputs are known."""
        known = None if self.begins else read_inputs(self.folder)
        if known and inputs_exist(known):
            return None
        try:
            return prepare(self.workshop)
        except FedForgeError as error:
            self.leaves_nothing = self.begins and not isinstance(error, RunStoppedError)
            raise

    def _completed(self) -> bool:
        with suppress(OSError):
            return run_state(self.folder).state == "completed"
        return False

    def _end_completed(self, failure: BaseException) -> None:
        """Whatever goes wrong once the model is final, in the end of an engine for example, takes nothing of it back.

        Raises:
            RunStoppedError: somebody waits for no more.
        """
        if not isinstance(failure, Exception) or isinstance(failure, RunStoppedError):
            raise RunStoppedError(
                f"stopped, but the run {self.folder.run_id!r} is completed.",
                remedy=f"See it with: fedforge show {self.folder.run_id}",
            ) from failure
        self.workshop.narrator.notice(f"The run is completed, but did not end well: {failure_reason(failure)}")

    @contextmanager
    def _operator(self) -> Iterator[Control]:
        """What the operator at the monitor wants, whose monitor is sent the events meanwhile."""
        address = _monitor_address(self.workshop.config.runtime)
        if address is None:
            yield AlwaysRun()
            return
        folder = self.folder
        meanwhile = "The run goes on; its events wait in its log."
        reach = MonitorReach(address, self.workshop.narrator.notice, meanwhile=meanwhile)
        outbox = Outbox(folder, reach, run_id=folder.run_id)
        try:
            with outbox, RemoteControl(reach, run_id=folder.run_id, attempt=self.number) as control:
                yield control
        finally:
            self.leaves_nothing = self.leaves_nothing and outbox.is_empty

    def _inputs(self, prepared: Prepared | None, control: BothControls) -> RunInputs:
        recorded = read_inputs(self.folder)
        device = self._device(recorded)
        if prepared is None:
            assert recorded is not None
            return recorded
        with self.workshop.narrator.stage("features"):
            prepared = prepare_caches(prepared, self.workshop, control.raise_if_stopped)
        inputs = run_inputs(self.workshop.config, prepared).model_copy(update={"device": device})
        if recorded and recorded.keys != inputs.keys:
            changed = sorted(kind for kind in inputs.keys if recorded.keys.get(kind) != inputs.keys[kind])
            raise RunError(
                f"the run's inputs have changed since it was started ({', '.join(changed)}).",
                remedy="Restore the original data and package versions, or start a new run.",
            )
        write_json(self.folder.inputs, inputs.model_dump(mode="json"))
        return inputs

    def _device(self, recorded: RunInputs | None) -> DeviceDecision:
        """Where the clients train: decided once for a run, and kept by its later attempts."""
        request, backend = DeviceRequest.of(self.workshop.config), WorkerBackend(self.workshop.pool)
        if recorded:
            keep_device(recorded.device, request, backend)
            return recorded.device
        decision = decide_device(request, backend)
        for text in decision.notices:
            self.workshop.narrator.notice(text)
        return decision

    def _federate(self, inputs: RunInputs, emitter: Emitter) -> None:
        from fedforge_runtime.federation.server_app import app

        workshop, engine = self.workshop, self.engine
        config = workshop.config.model_copy(update={"learning": inputs.device.applied_to(workshop.config.learning)})
        shards = None
        if engine.holds_shards and config.federation.site_data == "partition":
            with Heartbeat(emitter, node_id="server"), workshop.narrator.stage("shards"):
                shards = prepare_shards(config, inputs, store=workshop.store)
                if config.runtime.handover:
                    hand_over(shards, Path(config.runtime.handover), config.sites, hear_stop)
        describe_run(emitter, config, inputs)
        settings = RunSettings(
            self.folder, self.number, config, inputs, _replay(self.folder), shards.key if shards else None
        )

        def site_config(site: int) -> dict[str, str]:
            here = {HOME: str(workshop.home.root), EVENTS: str(self.folder.events)}
            if engine.holds_shards:
                return here | ({SHARDS: str(shards.path / site_folder(site))} if shards else {})
            return here | {INPUTS: inputs.model_dump_json()}

        with workshop.narrator.rounds(self.folder):
            engine.run(
                Federation(
                    server_app=app,
                    run_config={},
                    server_config=settings.to_run_config(),
                    clients=config.partition.clients,
                    sites=config.sites,
                    workers=workshop.pool.workers,
                    threads=config.runtime.threads_per_worker,
                    site_config=site_config,
                    link=_link_address(config.runtime),
                )
            )

    def _end_uncompleted(self, emitter: Emitter, failure: BaseException) -> None:
        """Leave the reason in the log, and in the error how to go on."""
        with suppress(OSError):  # a full disk takes no event either; the command still says why it ended
            self._record_end(emitter, failure)
        if self.leaves_nothing:
            return
        go_on = f"go on with: fedforge resume {self.folder.run_id}"
        if isinstance(failure, FedForgeError) and not failure.remedy:
            failure.remedy = f"{go_on[0].upper()}{go_on[1:]}"
        elif isinstance(failure, (StorageError, NetworkError, ResourceError)):
            failure.remedy = sentences(failure.remedy, f"Then {go_on}")

    def _record_end(self, emitter: Emitter, error: BaseException) -> None:
        """Have the log say how the attempt ended, unless the ServerApp has said it already."""
        if run_state(self.folder).state in ("stopped", "failed"):
            return
        done = len(read_records(self.folder))
        if isinstance(error, RunStoppedError):
            emitter.emit(RunStopped, round_number=done, node_id="server", reason=error.message)
        else:
            emitter.emit(RunFailed, round_number=done, node_id="server", reason=failure_reason(error))

    def _record_seconds(self, prepared_at: float, featured_at: float) -> None:
        ended = monotonic()
        seconds = {
            "prepare": round(prepared_at - self.started, 3),
            "features": round(featured_at - prepared_at, 3),
            "rounds": round(ended - featured_at, 3),
            "total": round(ended - self.started, 3),
        }
        try:
            write_json(self.folder.seconds, seconds)
        except OSError as error:
            self.workshop.narrator.notice(f"The run is completed, but not how long it took: {explain(error)}")


def _link_address(runtime: RuntimeConfig) -> LinkAddress | None:
    if runtime.superlink is None:
        return None
    certificates = Path(runtime.root_certificates).absolute() if runtime.root_certificates else None
    return LinkAddress.parse(runtime.superlink, certificates)


def _number_sites(config: RunConfig) -> RunConfig:
    """With the numbers of sites that are named, where a SuperLink knows them."""
    address = _link_address(config.runtime)
    if address is None:
        return config
    # Flower's database and web framework come with it, which a run on this machine does not wait a second for.
    from fedforge_runtime.engines.superlink.known_sites import number_sites

    return number_sites(config, address)


def _monitor_address(runtime: RuntimeConfig) -> MonitorAddress | None:
    return None if runtime.monitor is None else MonitorAddress.parse(runtime.monitor)


def _workshop(config: RunConfig, home: Home, narrator: Narrator) -> Workshop:
    """For a run, whose engine forks its processes from the same template, with what torch must be told before that."""
    if config.learning.device == "mps":
        allow_mps_fallback()
    modules = TEMPLATE_MODULES.get(config.runtime.engine, ())
    return Workshop(config, home, narrator, tasks=len(config.sites), modules=modules)


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    try:
        with owning(folder.lock):
            yield
    except OwnedError as error:
        raise RunError(
            f"the run {folder.run_id!r} is being executed by another process.",
            remedy="Wait for it, or stop it.",
        ) from error


def _create_folder(folder: RunFolder, config: RunConfig, participants_file: Path | None) -> None:
    try:
        folder.path.mkdir(parents=True)
    except FileExistsError as error:
        raise RunError(f"the run {folder.run_id!r} exists already.", remedy="Choose another --run-id.") from error
    except OSError as error:
        raise explain(error, folder.path) from error
    try:
        if participants_file:
            write_atomically(folder.replay, participants_file.read_bytes())
        write_atomically(folder.config, config.to_yaml().encode())
    except BaseException as error:
        shutil.rmtree(folder.path, ignore_errors=True)
        if isinstance(error, OSError):
            raise explain(error, folder.path) from error
        raise


def _remove(folder: RunFolder, upto: Path) -> None:
    """Take a folder away, and those around it that have nothing else, up to one of them."""
    shutil.rmtree(folder.path, ignore_errors=True)
    with suppress(OSError):
        folder.path.parent.rmdir()
        upto.rmdir()


def _replay(folder: RunFolder) -> Path | None:
    return folder.replay if folder.replay.exists() else None
