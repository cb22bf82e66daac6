"""Files that are there whole or not at all, and whose writers end without a word."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.scoring.files import replacing


def test_a_file_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    table = pa.table({"row": [1, 2, 3]})
    with replacing(path) as output:
        writer = pq.ParquetWriter(pa.PythonFile(output, mode="w"), table.schema)
        writer.write_table(table)
        writer.close()
    content = path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (output.size, output.sha256())
    assert pq.read_table(path) == table


def test_a_job_that_is_stopped_while_it_writes_leaves_no_file_and_no_traceback(tmp_path: Path) -> None:
    def write() -> None:
        table = pa.table({"row": [1, 2, 3]})
        with replacing(tmp_path / "scores.parquet") as output:
            writer = pq.ParquetWriter(pa.PythonFile(output, mode="w"), table.schema)
            writer.write_table(table)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []
