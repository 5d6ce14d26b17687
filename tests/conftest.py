"""What several test files share: where the real corpora are, quiet libraries, and the processor even beside a GPU.

On a GPU sums have no fixed order, and a run does not repeat bit for bit.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real corpora; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MMMIE_TEST_DATA", default))
    if not (folder / "mosi" / "utterances.csv").is_file():
        pytest.skip(f"no real corpora at {folder}; MMMIE_TEST_DATA names the folder that holds mosi/ and mosei/")
    return folder
