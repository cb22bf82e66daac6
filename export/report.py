"""The certificate in the training report, where the report of `tickline train` has a place for it."""

from html import escape
from pathlib import Path

from runtime.artifact import Certificate

_BEGIN, _END = "<!-- certificate -->", "<!-- end of certificate -->"


def add_certificate(page: Path, certificate: Certificate, sha256: str, golden_rows: int) -> bool:
    """Put the certificate into the report beside a model, in place of an older one; tell whether there was a place.

    Parameters
    ----------
    page : Path
        The report; where it is missing or another page, nothing is done.
    certificate : Certificate
        Of the model file.
    sha256 : str
        The model file's seal.
    golden_rows : int
        Rows that travel in the file.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        return False
    findings = "".join(f"<li>{escape(str(finding))}</li>" for finding in certificate.findings)
    content = (
        f"<p>The served graph was compared with {escape(certificate.reference)} over {certificate.compared_rows:,} "
        f"rows: {certificate.compared_rows - golden_rows:,} of the test set and {golden_rows:,} golden ones, which "
        "travel in the file and are replayed by every server before it is ready. A difference of "
        f"{certificate.tolerance:g} is allowed; found:</p><ul>{findings}</ul>"
        f'<p class="note">SHA-256 of the model file: <code>{escape(sha256)}</code></p>'
    )
    page.write_text(before + begin + content + end + after, encoding="utf-8")
    return True
