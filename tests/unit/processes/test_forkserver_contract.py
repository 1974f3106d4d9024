"""What `processes` takes from the inside of Python's multiprocessing, held against the Python that is installed.

There is no public way to learn the process id of the fork server. When this fails on a new Python, find the name
it has there and change `Template.end`; otherwise a template outlives its command by seconds.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are workers forked from a template")


def test_the_fork_server_keeps_its_process_id_under_the_private_name_that_is_used() -> None:
    # In a fresh interpreter: the server of this one may be running already.
    code = (
        "from multiprocessing import forkserver\n"
        "import psutil\n"
        "server = forkserver._forkserver\n"
        "assert server._forkserver_pid is None\n"
        "server.ensure_running()\n"
        "process = psutil.Process(server._forkserver_pid)\n"
        "assert process.ppid() == psutil.Process().pid\n"
        "process.kill()\n"
        "print('ended', process.wait() is not None)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "ended True\n"), done.stderr


def test_the_template_is_gone_as_soon_as_the_command_is() -> None:
    code = (
        "import psutil\n"
        "from fedforge_runtime.processes import TEMPLATE\n"
        "if __name__ == '__main__':\n"
        "    TEMPLATE.start()\n"
        "    print(*[child.pid for child in psutil.Process().children()], flush=True)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    import psutil

    processes = [int(word) for word in done.stdout.split()]
    assert processes
    left = [psutil.Process(each) for each in processes if psutil.pid_exists(each)]
    _, alive = psutil.wait_procs(left, timeout=PATIENCE_SECONDS)
    assert alive == []


def test_an_executor_keeps_its_process_under_the_private_name_that_is_used() -> None:
    code = (
        "import multiprocessing, os\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('forkserver')) as executor:\n"
        "        asked = executor.submit(os.getpid)\n"
        "        (process_id,) = executor._processes\n"
        "        print(process_id == asked.result())\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
