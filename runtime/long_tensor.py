"""The numbers of a long JSON tensor, read where they are by the kernels of batches.

The decoder of inference requests holds the interpreter's lock while it looks for the end of a tensor's data: 100 ms for
100,000 rows. So what is long is cut out of the request first, by kernels that release the lock.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.codec import CODEC, END, Codec
from runtime.json_text import JsonText
from runtime.problems import Problem

_DATA_PLACE = b"0"
_FLOATS = ("FP32", "FP64")


class LongTensor:
    """The data of the only input of a request.

    Parameters
    ----------
    body : bytes
        A whole request in JSON.
    codec : Codec
        The kernels.

    Attributes
    ----------
    around : bytes
        The request with a number in place of the data.

    Raises
    ------
    Problem
        Where the request has not the usual form; the decoder of requests says if it is one.
    """

    def __init__(self, body: bytes, codec: Codec) -> None:
        self._text = text = JsonText.over(body, codec)
        self._begin = self._end = 0
        more = text.enter_object("body")
        while more:
            if text.name() == "inputs":
                self._find(text)
            else:
                text.skip()
            more = text.more_members()
        text.end()
        if not self._begin:
            raise Problem(422, "no data")
        self.around = b"".join((body[: self._begin], _DATA_PLACE, body[self._end :]))

    def _find(self, text: JsonText) -> None:
        """Find the data in the list of inputs."""
        more = text.enter_list("inputs") and text.enter_object("inputs[0]")
        while more:
            is_data = text.name() == "data"
            begin = text.position
            text.skip()
            if is_data:
                if self._begin:
                    raise Problem(422, "data given twice")
                self._begin, self._end = begin, text.position
            more = text.more_members()
        if text.more():
            raise Problem(422, "another input")

    def elements(self, _: bytes, datatype: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the numbers, float32, flat or one array a row; raises Problem where one of them is not plain."""
        text, (rows, width) = self._text, shape
        text.position = self._begin
        out = np.empty(shape, np.float32)
        if datatype in _FLOATS and text.enter_list("data"):
            if text.starts_list():
                names, ends = np.zeros(width, np.uint8), np.arange(1, width + 1)  # no row is an object
                count = text.rows(out, 0, names, ends) * width
            else:
                count = text.column(out.ravel(), 0)
            if (count, text.stopped, text.position) == (rows * width, END, self._end):
                return out
        raise Problem(422, "not plain")


def find(body: bytes, codec: Codec | None = CODEC) -> LongTensor | None:
    """Return the data of a request's only input, where there are kernels and it has the usual form."""
    if codec is None:
        return None
    try:
        return LongTensor(body, codec)
    except Problem:
        return None
