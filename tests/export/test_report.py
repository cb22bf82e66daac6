"""The certificate's place in a report."""

from pathlib import Path

import pytest

from export.report import add_certificate
from runtime.artifact import Certificate

CERTIFICATE = Certificate(
    reference="scikit-learn <1>",
    tolerance=1e-5,
    rows=b"",
    probabilities=b"",
    compared_rows=1500,
    max_probability_difference=1e-7,
    label_flips=0,
)


def test_it_is_put_in_place_of_what_stood_there(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<p>before</p><!-- certificate -->was here before<!-- end of certificate --><p>after</p>")
    for seal in ("abc", "def"):
        assert add_certificate(page, CERTIFICATE, seal, 300)
        text = page.read_text()
        assert text.startswith("<p>before</p><!-- certificate -->")
        assert text.endswith("<!-- end of certificate --><p>after</p>")
        assert "scikit-learn &lt;1&gt; over 1,500 rows: 1,200 of the test set and 300 golden ones" in text
        assert f"<code>{seal}</code>" in text
        assert "largest difference 1.00e-07, 0 label flips" in text
    assert "abc" not in text
    assert "was here before" not in text


@pytest.mark.parametrize("content", [None, b"<p>another page</p>", b"\xff\xfe", b"<!-- certificate --> no end"])
def test_other_pages_stay_as_they_are(content: bytes | None, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    if content is not None:
        page.write_bytes(content)
    assert not add_certificate(page, CERTIFICATE, "abc", 300)
    assert page.exists() == (content is not None)
    assert content is None or page.read_bytes() == content
