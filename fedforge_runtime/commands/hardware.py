"""`fedforge hardware-check`: what this machine is and can do."""

from __future__ import annotations

from fedforge_runtime.commands.options import BackboneOption, DebugOption, HomeOption, JsonOption
from fedforge_runtime.commands.output import command
from fedforge_runtime.errors import FedForgeError
from fedforge_runtime.storage.home import Home


def hardware_check(
    home: HomeOption = None,
    backbone: BackboneOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show devices, prove that results repeat to the bit, and estimate how long each phase takes here."""
    with command(as_json=as_json) as emit:
        from fedforge_runtime.commands.console import ConsoleNarrator
        from fedforge_runtime.commands.hardware_tables import print_hardware
        from fedforge_runtime.hardware.check import check_hardware

        report = check_hardware(home=Home.resolve(home), backbone_name=backbone, narrator=ConsoleNarrator())
        emit(report.to_json(), lambda _: print_hardware(report))
    if not report.determinism.passed:
        raise FedForgeError(
            "this machine does not give the same bits twice.",
            remedy="Runs would not be reproducible or resumable here: check its memory, cooling and PyTorch.",
        )
