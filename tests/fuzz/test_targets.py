"""Every decoder takes what it should and survives what it should not: by hypothesis, and for a moment by atheris."""

import platform
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.artifact import ArtifactError
from runtime.batch_json import JsonBatch
from runtime.codec import CODEC
from runtime.graph_rules import check_graph
from tests.fuzz import targets
from tests.fuzz.targets import TARGETS, WrongError

RUNS = 4_000


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].feed(seed)


def test_the_seed_of_a_graph_is_a_graph() -> None:
    (seed,) = TARGETS["graph"].seeds
    check_graph(seed)
    with pytest.raises(ArtifactError):
        check_graph(seed[:-1])


@settings(max_examples=60, derandomize=True, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_and_any_change_of_good_ones_are_survived(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    target.feed(data.draw(st.binary(max_size=200)))
    body = bytearray(data.draw(st.sampled_from(target.seeds)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    target.feed(bytes(body))


@pytest.mark.parametrize("codec", [CODEC, None])
@pytest.mark.parametrize(
    "body",
    [
        b'{"features":[[1,2,3],[1e400,n\xff\xffull,"x"]]}',
        b'{"features":[[1,2,3],[true,nul,3]]}',
        b'{"columns":{"a":[1,"x\xff"],"b c":[1,2],"\xc4\x9d":[1,2]}}',
    ],
)
def test_what_is_no_json_behind_a_bad_value_refuses_the_batch(codec: object, body: bytes) -> None:
    """Found by atheris: the rest of a bad row was not looked at, and the batch was taken."""
    batch = JsonBatch(targets._DECODER, 50, codec)  # type: ignore[arg-type]
    assert targets._read(batch, body, 7) == (400, b"")


def test_a_decoder_that_does_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "CODEC", None)
    monkeypatch.setattr(targets._DECODER, "decode_row", lambda *arguments: None)
    with pytest.raises(WrongError):
        TARGETS["row"].feed(b'{"features":[1,2,3]}')


# Where it has a wheel it is of the development environment, and this fails without it.
@pytest.mark.skipif(
    sys.version_info >= (3, 14) or (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="atheris has no wheel for this Python or system",
)
def test_the_fuzzer_finds_nothing_in_a_moment() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--runs", str(RUNS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"#{RUNS}\tDONE" in done.stderr
