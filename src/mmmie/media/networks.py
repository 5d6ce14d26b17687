"""Small networks in .tflite files, run by LiteRT on one thread."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmmie.errors import FeatureError, missing_extra
from mmmie.media.models import find


class Network:
    """One network with one input; calling it gives its outputs.

    Raises:
        FeatureError: its file is not there, is another, or cannot be run.
    """

    def __init__(self, name: str) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise missing_extra("ai-edge-litert", "video") from None
        path = find(name)
        try:
            with _unsaid():
                self._interpreter: Any = Interpreter(str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise FeatureError(f"{path} cannot be run by the LiteRT that is installed: {error}") from None
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()

    def __call__(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """`values` has the input's number of elements, float32; each output comes as the network shapes it."""
        self._interpreter.set_tensor(self._input["index"], values.reshape(self._input["shape"]))
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(output["index"]) for output in self._outputs)


@contextmanager
def _unsaid() -> Iterator[None]:
    """LiteRT announces its delegate on the process' own stderr, and has no setting against it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
