"""Walking through a text, with the kernels and without them."""

import pytest

from runtime.codec import Codec
from runtime.json_text import JsonText
from runtime.problems import Problem


@pytest.fixture(params=["kernels", "python"])
def kernels(request: pytest.FixtureRequest, codec: Codec) -> Codec | None:
    """The kernels, then none."""
    return codec if request.param == "kernels" else None


def test_a_text_is_walked_value_by_value(kernels: Codec | None) -> None:
    text = JsonText(bytearray(b' { "a\\u0062" : [ [1, "]"] , {"x": "}"} ] , "c" : [ ] } '), kernels)
    assert text.enter_object("body")
    assert text.name() == "ab"
    assert text.enter_list("ab")
    assert text.element(100, "ab[0]") == b'[1, "]"]'
    assert text.more()
    assert text.element(100, "ab[1]") == b'{"x": "}"}'
    assert not text.more()
    assert text.more_members()
    assert text.name() == "c"
    assert not text.enter_list("c")
    assert not text.more_members()
    text.end()


def test_another_kind_of_value_is_named(kernels: Codec | None) -> None:
    for body, received in (
        (b"[]", "array"),
        (b'"a"', "string"),
        (b"true", "boolean"),
        (b"null", "null"),
        (b"-1", "number"),
    ):
        with pytest.raises(Problem, match=f"^here: expected object, got {received}$"):
            JsonText(bytearray(body), kernels).enter_object("here")


def test_too_long_an_element_is_passed_over(kernels: Codec | None) -> None:
    text = JsonText(bytearray(b"[[1,2,3],4]"), kernels)
    assert text.enter_list("list")
    with pytest.raises(Problem, match=r"^list\[0\]: expected at most 5 bytes of text, got 7$"):
        text.element(5, "list[0]")
    assert text.more()
    assert text.element(5, "list[1]") == b"4"


@pytest.mark.parametrize("body", [b'["a', b"[[1", b'[{"a":1', b"["])
def test_a_text_that_ends_too_early_is_malformed(kernels: Codec | None, body: bytes) -> None:
    text = JsonText(bytearray(body), kernels)
    with pytest.raises(Problem) as caught:  # noqa: PT012 - the list of the last body is its end already
        text.enter_list("list")
        text.element(100, "list[0]")
    assert caught.value.status == 400
