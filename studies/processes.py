"""One training shared by the processes of ``torchrun``.

``torchrun --nproc-per-node N -m studies transfer ...`` begins N equal processes. The first runs the
study, and alone measures costs, validates, writes and prints. The others wait until it announces a
training, and take their share of each batch. Without torchrun the functions see one process.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

WAIT = timedelta(days=7)
"""How long others wait for the first, which validates alone; torchrun ends all when one ends."""


def count() -> int:
    """Return how many processes share a training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """The place of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def check_alone(what: str) -> None:
    """Refuse torchrun where processes have no training to share.

    Raises:
        ValueError: names what was asked for.
    """
    if distributed.is_torchelastic_launched():
        raise ValueError(f"torchrun: {what} has no training to share; run it without torchrun")


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes of torchrun, if it began this one; at the end dismiss the others.

    Args:
        device: ``"cpu"`` (gloo), or ``"cuda"`` (NCCL), of which each process takes one.

    Raises:
        ValueError: another device, or fewer GPUs than processes.
    """
    if not distributed.is_torchelastic_launched():
        yield
        return
    if device not in ("cpu", "cuda"):
        raise ValueError(f"device: expected cpu or cuda under torchrun, got {device!r}")
    if device == "cuda":
        place = int(os.environ["LOCAL_RANK"])
        if place >= torch.cuda.device_count():
            raise ValueError(
                f"device: torchrun must begin one process for each of "
                f"{torch.cuda.device_count()} GPUs, began one more"
            )
        torch.cuda.set_device(place)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", None, WAIT)
    try:
        yield
        announce(None)
    finally:
        distributed.destroy_process_group()


def announce(work: Any) -> None:
    """Tell the others what to train, or with ``None`` that nothing is left."""
    if count() > 1 and rank() == 0:
        distributed.broadcast_object_list([work], 0, device=torch.device("cpu"))


def announced() -> Iterator[Any]:
    """Yield what the first process announces, until nothing is left."""
    while True:
        work = [None]
        distributed.broadcast_object_list(work, 0, device=torch.device("cpu"))
        if work[0] is None:
            return
        yield work[0]


@contextmanager
def all_or_none(*alike: type[Exception]) -> Iterator[None]:
    """End this process, and with it all, at an error: the others would wait for it forever.

    Args:
        alike: errors that come up in every process, and so can be told and passed over.
    """
    try:
        yield
    except alike:
        raise
    except Exception as error:
        if count() == 1:
            raise
        sys.exit(f"error: process {rank()}: {type(error).__name__}: {error}")


def share_gradients(network: nn.Module) -> nn.Module:
    """The network as one whose gradients are the mean over all processes.

    Running statistics of batch norm are those of the first process.
    """
    return DistributedDataParallel(network) if count() > 1 else network


class Shares(Sampler[list[int]]):
    """This process's images of every batch.

    Args:
        batches: the same in every process.
    """

    def __init__(self, batches: Sampler[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Sequence[int]]:
        return (batch[rank() :: count()] for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)
