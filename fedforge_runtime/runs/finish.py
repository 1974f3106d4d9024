"""What stands beside a finished run's numbers: bounds to compare with, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fedforge_runtime.config import read_run_config
from fedforge_runtime.errors import DEFECT, FedForgeError, RunStoppedError, sentences
from fedforge_runtime.errors.system import explained
from fedforge_runtime.runs.bounds import record_bounds
from fedforge_runtime.storage.home import Home, RunFolder
from fedforge_runtime.telemetry.narration import Narrator


@dataclass(frozen=True)
class Evidence:
    """What is made beside a finished run's numbers.

    Args:
        bounds: what the federated numbers are compared with; left out, with a word, where every epoch of it would run
            the backbone, and where the sites bring their own data.
        report: the page; `fedforge report` makes it later too.
    """

    bounds: bool = True
    report: bool = True


def record_evidence(folder: RunFolder, wanted: Evidence, *, home: Home, narrator: Narrator) -> None:
    """Write `bounds.json` and `report.html` of a completed run; the model is there already, whatever happens here.

    What cannot be made is missing, and the narrator says why; the other is made all the same.

    Raises:
        RunStoppedError: interrupted; the run stays completed.
    """
    config = read_run_config(folder.config)
    learning = config.learning
    if wanted.bounds and config.federation.site_data == "own":
        narrator.notice("Bounds are left out: they need the rows of all sites, and the sites keep their own.")
    elif wanted.bounds and (learning.mode == "full" or not learning.cache_features):
        narrator.notice(
            f"Bounds are left out: without cached features they take hours. fedforge bounds {folder.run_id}"
        )
    elif wanted.bounds:
        with _named_where_missing(folder, narrator, "bounds"), narrator.stage("bounds"):
            record_bounds(folder, home=home, narrator=narrator)
            narrator.bounded(folder)
    if wanted.report:
        with _named_where_missing(folder, narrator, "report"), narrator.stage("report"):
            from fedforge_runtime.reporting.run_report import write_report

            write_report(folder)


@contextmanager
def _named_where_missing(folder: RunFolder, narrator: Narrator, name: str) -> Iterator[None]:
    """Whatever goes wrong with it takes nothing back of a run that is completed.

    Args:
        name: of what is made, and of the command that makes it later.
    """
    try:
        yield
    except RunStoppedError:
        raise
    except Exception as error:
        again = f"fedforge {name} {folder.run_id}"
        known = error if isinstance(error, FedForgeError) else explained(error, folder.path)
        reason = known or sentences(f"{type(error).__name__}: {error}", DEFECT)
        narrator.notice(f"The run is completed, without its {name} ({again} tries it once more): {reason}")
    finally:
        narrator.close()
