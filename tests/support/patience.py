"""How long a test waits for what must come: a guard against a hang, and never a measurement.

The one knob of all guards: `FEDFORGE_TEST_PATIENCE`, seconds. Waits end as soon as what they wait for is there, so that
it may be large; a machine on which the suite shares its cores with much else needs it to be.
"""

from __future__ import annotations

import os

PATIENCE_SECONDS = float(os.environ.get("FEDFORGE_TEST_PATIENCE") or 600)
