"""Checkpoints and states: whole or not there, and never unpickled."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mmmie.errors import CheckpointError
from mmmie.learning import checkpoint
from mmmie.learning.checkpoint import load_state, load_weights, save_checkpoint, save_state, take_weights
from mmmie.learning.run import write_json, write_whole


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(
        [{"params": module[0].parameters(), "lr": 0.1}, {"params": module[2].parameters(), "lr": 0.01}]
    )
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return module, optimizer


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    module, optimizer = trained()
    averages = {"0.weight": torch.randn(4, 3)}
    values = {"epoch": 3, "best": float("inf"), "lines": [{"a": 0.1 + 0.2}]}
    save_state(tmp_path / "s", {"m": module}, {"o": optimizer}, averages, values)
    torch.manual_seed(9)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    fresh = torch.optim.AdamW([{"params": other[0].parameters()}, {"params": other[2].parameters()}], lr=0.3)
    found, said = load_state(tmp_path / "s", {"m": other}, {"o": fresh})
    assert said == values
    assert torch.equal(found["0.weight"], averages["0.weight"])
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    for index, state in optimizer.state_dict()["state"].items():
        for name, tensor in state.items():
            ours = fresh.state_dict()["state"][index][name]
            assert torch.equal(tensor, ours), name
            assert tensor.dtype == ours.dtype
            assert tensor.shape == ours.shape


def test_a_state_leaves_out_what_the_encoders_files_hold(tmp_path: Path) -> None:
    def made() -> nn.Module:
        torch.manual_seed(0)
        network = nn.ModuleDict({"network": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])})
        network["network"][0].requires_grad_(False)
        return nn.ModuleDict({"encoders": nn.ModuleDict({"text": nn.ModuleDict({"reader": network})})})

    module = made()
    nn.init.ones_(module.encoders.text.reader.network[1].weight)
    save_state(tmp_path / "s", {"m": module}, {}, {}, {})
    assert [name for name in load_weights(tmp_path / "s") if ".network.0." in name] == []
    other = made()
    load_state(tmp_path / "s", {"m": other}, {})
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(CheckpointError, match=r"is not of this training \('bias'\)\. Delete it"):
        load_state(tmp_path / "s", {"m": nn.Linear(2, 2)}, {})
    wider = made()
    wider.encoders.text.reader.network[1] = nn.Linear(2, 3)
    before = wider.encoders.text.reader.network[1].weight.clone()
    with pytest.raises(CheckpointError, match=r"is not of this training \('encoders.text.*bias'\)"):
        load_state(tmp_path / "s", {"m": wider}, {})
    assert torch.equal(before, wider.encoders.text.reader.network[1].weight), "and nothing is put in"


def test_a_checkpoint_names_the_sum_of_its_weights(tmp_path: Path) -> None:
    module, _ = trained()
    save_checkpoint(tmp_path / "c", module, {"context": 2})
    contract = (tmp_path / "c" / "contract.json").read_text()
    assert checkpoint.checksum(tmp_path / "c" / "model.safetensors") in contract
    weights = load_weights(tmp_path / "c" / "model.safetensors")
    assert weights.keys() == module.state_dict().keys()


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04not a safetensors file", b"{}" * 100])
def test_what_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "m").write_bytes(content)
    with pytest.raises(CheckpointError, match="no checkpoint" if content is None else "damaged"):
        load_weights(tmp_path / "m")


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "m")
    with pytest.raises(CheckpointError, match="damaged"):
        load_weights(tmp_path / "m")


def test_weights_are_taken_by_name_and_shape() -> None:
    module = nn.Linear(2, 2)
    before = module.bias.clone()
    missing = take_weights(module, {"weight": torch.ones(2, 2), "bias": torch.ones(3), "other": torch.ones(1)})
    assert missing == ["bias"]
    assert torch.equal(module.weight, torch.ones(2, 2))
    assert torch.equal(module.bias, before)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = trained()
    save_checkpoint(tmp_path, module, {})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(tensors: object, path: str, header: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match=r"could not write .*No space left"):
        save_checkpoint(tmp_path, module, {})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "metrics.jsonl"
    write_whole(file, "one\n")
    plain = Path.write_text

    def full(self: Path, text: str, **more: str) -> int:
        plain(self, text[:2], **more)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    for write in (lambda: write_whole(file, "one\ntwo\n"), lambda: write_json(file, {"a": 1})):
        with pytest.raises(CheckpointError, match=r"could not write .*metrics.jsonl: .*No space left"):
            write()
    assert file.read_text() == "one\n"
    assert list(tmp_path.iterdir()) == [file]
