"""Where tensors are computed: this process' own GPU where there is one, else the processor."""

import os

import torch


def compute_device() -> torch.device:
    """Of several processes that torchrun started on a machine, each has the GPU of its local rank."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")
