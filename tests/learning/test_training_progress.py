"""What training says off a terminal: one line an epoch, however long."""

import io

from rich.console import Console

from mmmie.learning.progress import Shown

LINE = {
    "epoch": 0,
    "seconds": 12.0,
    "valid": {"mae": 0.71234},
    "train": {f"min {name}": 1.0 for name in ("text", "audio", "vision")},
}


def test_an_epoch_is_one_line_in_a_log() -> None:
    log = io.StringIO()
    with Shown("a-run/0", Console(file=log, width=40)) as shown:
        shown.epoch(0, 3, 10)
        shown.epoch_done(LINE, best_epoch=0)
    assert log.getvalue().splitlines() == [
        "a-run/0  epoch 1/3  valid MAE 0.7123  min text 1.000  min audio 1.000  min vision 1.000  12 s  best"
    ]


def test_text_features_are_told_by_tenths() -> None:
    log = io.StringIO()
    with Shown("a-run/0", Console(file=log, width=20)) as shown:
        for done in range(1, 1001):
            shown.features(done, 1000)
    lines = log.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[-1] == "a-run/0  text features 1000/1000"
