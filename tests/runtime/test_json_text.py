"""Walking through a text, with the kernels and without them."""

import pytest

from runtime.codec import Codec
from runtime.json_text import IncompleteError, JsonText
from runtime.problems import Problem


@pytest.fixture(params=["kernels", "python"])
def kernels(request: pytest.FixtureRequest, codec: Codec) -> Codec | None:
    """The kernels, then none."""
    return codec if request.param == "kernels" else None


def complete(body: bytes, kernels: Codec | None) -> JsonText:
    """Return a text that has come completely."""
    text = JsonText(kernels)
    text.feed(body)
    text.complete = True
    return text


def test_a_text_is_walked_value_by_value(kernels: Codec | None) -> None:
    text = complete(b' { "a\\u0062" : [ [1, "]"] , {"x": "}"} ] , "c" : [ ] } ', kernels)
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
            complete(body, kernels).enter_object("here")


def test_too_long_an_element_is_passed_over(kernels: Codec | None) -> None:
    text = complete(b"[[1,2,3],4]", kernels)
    assert text.enter_list("list")
    with pytest.raises(Problem, match=r"^list\[0\]: expected at most 5 bytes of text, got 7$"):
        text.element(5, "list[0]")
    assert text.more()
    assert text.element(5, "list[1]") == b"4"


@pytest.mark.parametrize("body", [b'["a', b"[[1", b'[{"a":1', b"["])
def test_a_text_that_ends_too_early_is_malformed(kernels: Codec | None, body: bytes) -> None:
    text = complete(body, kernels)
    with pytest.raises(Problem) as caught:  # noqa: PT012 - the list of the last body is its end already
        text.enter_list("list")
        text.element(100, "list[0]")
    assert caught.value.status == 400


def test_a_value_is_not_passed_before_it_has_come(codec: Codec) -> None:
    text = JsonText(codec)
    for piece in (b"  ", b"[", b" 1", b"2", b" , [", b"3"):
        begin = text.position
        with pytest.raises(IncompleteError):  # noqa: PT012 - which step fails depends on what has come
            if text.enter_list("list"):
                text.element(100, "list[0]")
                text.more()
                text.element(100, "list[1]")
        text.position = begin
        text.feed(piece)
    text.feed(b"]] ")
    assert text.enter_list("list")
    assert text.element(100, "list[0]").strip() == b"12"
    assert text.more()
    text.forget()
    assert text.element(100, "list[1]") == b"[3]"
    assert not text.more()
    assert len(text) == len(" [3]] ")
