"""What a model file answers, computed by onnxruntime alone: the yardstick for replies from the wire."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.payloads import Described
from runtime.artifact import check_seal, golden_rows, model_file, naming, parse_metadata, read

_CHUNK_ROWS = 4096


class Reference:
    """A model file in a plain session.

    Parameters
    ----------
    path : Path
        The file, or its folder.

    Attributes
    ----------
    described : Described
        Its features and labels.
    golden : ndarray
        Its golden rows, float32 (rows, features).

    Raises
    ------
    ArtifactError
        Where there is no such file, or it is no model file.
    """

    def __init__(self, path: Path) -> None:
        file = model_file(path)
        with naming(file):
            content = read(file)
            check_seal(content)
            self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            card, certificate = parse_metadata(self._session.get_modelmeta().custom_metadata_map)
        self.described = Described(list(card.feature_names), list(card.labels), card.version)
        self.golden: NDArray[np.float32] = golden_rows(card, certificate)[0]

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, float32 (rows, classes), of rows, float32 (rows, features)."""
        chunks = [rows[start : start + _CHUNK_ROWS] for start in range(0, len(rows), _CHUNK_ROWS)]
        return np.concatenate([self._session.run(["probabilities"], {"features": chunk})[0] for chunk in chunks])
