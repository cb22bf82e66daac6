"""Name the image that the manifests deploy: ``python set_image.py NAME TAG [DIGEST]``.

The one place is ``image/kustomization.yaml``; Argo CD syncs what it says. With a digest the tag is for people alone:
nodes pull what the digest names, whatever is pushed to the tag later.

Example: ``python deploy/kubernetes/set_image.py registry.example.com/tickline 0.2.0 sha256:0123...``
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

FILE = Path(__file__).parent / "image" / "kustomization.yaml"

NAME = r"[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*"
TAG = r"\w[\w.-]{0,127}"
DIGEST = r"sha256:[0-9a-f]{64}"
"""What registries take; see the distribution specification of the Open Container Initiative."""


def set_image(manifest: str, name: str, tag: str, digest: str | None = None) -> str:
    """Return a kustomization that names another image.

    Raises
    ------
    ValueError
        The name, the tag or the digest is none, or the kustomization does not name one image.
    """
    for what, value, pattern in (("name", name, NAME), ("tag", tag, TAG), ("digest", digest, DIGEST)):
        if value is not None and re.fullmatch(pattern, value) is None:
            raise ValueError(f"{what}: expected {pattern}, got {value!r}")
    lines = [f"    newName: {name}", f'    newTag: "{tag}"', *([f"    digest: {digest}"] if digest else [])]
    changed, count = re.subn(
        r"^ +newName: .*\n(?: +(?:newTag|digest): .*\n)*", "\n".join(lines) + "\n", manifest, flags=re.M
    )
    if count != 1:
        raise ValueError(f"kustomization: expected one image with newName, got {count}")
    return changed


def main(arguments: Sequence[str]) -> int:
    """Change the file; 0, or 1 with one line on standard error."""
    if not 2 <= len(arguments) <= 3:
        sys.stderr.write("usage: set_image.py NAME TAG [DIGEST]\n")
        return 2
    try:
        FILE.write_text(set_image(FILE.read_text(), *arguments))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"set_image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
