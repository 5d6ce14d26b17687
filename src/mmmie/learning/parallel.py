"""Data-parallel training under torchrun: each process encodes its share, and all see the whole batch.

Encoders are the cost, fusion is not: every process encodes a share of the distinct utterances, the representations are
gathered with their gradients, and fusion and all terms are computed on the whole batch by each process. So the
mutual-information terms have the negatives of all processes, and the losses are those of one process.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mmmie.device import compute_device
from mmmie.errors import TrainingError
from mmmie.models.encoders import Representation

PATIENCE = timedelta(hours=12)
"""How long a process waits for another: the first one alone computes the text features that are not stored yet."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


def join() -> Processes:
    """Joins the processes that torchrun started; alone where it did not."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if not dist.is_initialized():
        device = compute_device()
        if device.type == "cuda":
            _take(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    _group_of_gathers()
    return Processes(dist.get_rank(), dist.get_world_size())


def _take(device: torch.device) -> None:
    """Makes it this process' GPU: two processes on one would wait for each other for ever."""
    gpus = torch.cuda.device_count()
    if device.index >= gpus:
        raise TrainingError(
            f"torchrun started process {device.index + 1} on this machine, which has {gpus} GPUs: set "
            f"--nproc_per_node {gpus}, or CUDA_VISIBLE_DEVICES= for the processor"
        )
    torch.cuda.set_device(device)


@cache
def _group_of_gathers() -> dist.ProcessGroup:
    """Apart from the group in which DistributedDataParallel sends gradients: those come in an order of their own."""
    return dist.new_group(timeout=PATIENCE)  # type: ignore[no-any-return]


def gather(representation: Representation, shares: Sequence[Tensor], present_N: Tensor) -> Representation:
    """The means of all processes, in the order of the batch; gradients find their way back. Noise is drawn after it.

    Args:
        representation: of this process' share.
        shares: for each process the positions in N that it encoded.
        present_N: of the whole batch.
    """
    mean_ND = _gather(representation.mean_ND, shares)
    return Representation(
        mean_ND=mean_ND,
        sample_ND=mean_ND,
        noise_D=representation.noise_D,
        present_N=present_N,
        input_NX=_gather(representation.input_NX, shares),
    )


def _gather(rows: Tensor, shares: Sequence[Tensor]) -> Tensor:
    longest = max(len(share) for share in shares)
    padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
    every = _AllGather.apply(padded)  # type: ignore[no-untyped-call]
    order = torch.cat(list(shares))
    whole = torch.cat([piece[: len(share)] for piece, share in zip(every, shares, strict=True)])
    return torch.empty_like(whole).index_copy(0, order, whole)


class _AllGather(torch.autograd.Function):
    """all_gather whose gradient is the sum over processes of what each did with this one's rows.

    DistributedDataParallel then divides by the number of processes, which leaves the gradient of one loss.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG004
        every = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(every, rows.contiguous(), group=_group_of_gathers())
        return tuple(every)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        stacked = torch.stack(gradients)
        dist.all_reduce(stacked, group=_group_of_gathers())
        return stacked[dist.get_rank()]
