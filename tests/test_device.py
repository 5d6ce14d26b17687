"""Which device a process computes on, with GPUs that are only said to be there."""

import pytest
import torch

from mmmie.device import compute_device
from mmmie.errors import TrainingError
from mmmie.learning import parallel


@pytest.fixture
def two_gpus(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    return taken


def test_without_a_gpu_it_is_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert compute_device() == torch.device("cpu")


def test_each_process_of_torchrun_has_its_own_gpu(monkeypatch, two_gpus):
    assert compute_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert compute_device() == torch.device("cuda", 1)


def test_more_processes_than_gpus_are_refused_before_they_wait(monkeypatch, two_gpus):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(TrainingError, match="process 3 on this machine, which has 2 GPUs: set --nproc_per_node 2"):
        parallel.join()
    assert two_gpus == []
