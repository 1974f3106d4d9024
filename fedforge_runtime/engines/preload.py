"""Imported once by the process that every worker is forked from: what takes seconds is paid for once.

Meanwhile the collector is off, since all of this stays; afterwards it is told so. `Trainer.train` runs a full
collection each time, which costs 0.2 s over the objects of these imports and nothing over a worker's own.
"""

# ruff: noqa: E402
import gc

gc.disable()

import threading

import evaluate  # noqa: F401
import flwr.clientapp  # noqa: F401
import torch
import tqdm
import transformers.trainer  # noqa: F401

from fedforge_runtime.processes.template import survive_failed_forks

# Otherwise each worker's first progress bar makes a semaphore that a killed worker leaves behind.
tqdm.tqdm.set_lock(threading.RLock())
torch.set_num_threads(1)
gc.freeze()
gc.enable()
survive_failed_forks()
