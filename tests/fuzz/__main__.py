"""Fuzz decoders: ``python -m tests.fuzz [TARGET ...] [--runs N]``.

atheris runs libFuzzer, which sees which branches of `runtime` its bytes reach, in one process and over all targets. It
ends at the first wrong answer, whose bytes it prints, or after a number of runs.
"""

import argparse
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    raise SystemExit("python -m tests.fuzz: atheris is not installed: pip install atheris") from None

with atheris.instrument_imports(include=["runtime"]):
    from tests.fuzz.targets import TARGETS

_LONGEST = 4096


def main(arguments: list[str]) -> None:
    """Fuzz some targets, or all of them; ends the process."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Feed decoders any bytes, guided by the branches that they reach.",
        epilog="example:\n  python -m tests.fuzz npy arrow --runs 1000000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"which, of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--runs", type=int, default=100_000, help="how many bodies (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="chooses them (default: 1)")
    options = parser.parse_args(arguments)
    if unknown := set(options.target) - set(TARGETS):
        parser.error(f"TARGET: expected some of {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
    chosen = [TARGETS[name] for name in options.target or TARGETS]

    def feed(data: bytes) -> None:
        """Feed the target that the first byte chooses."""
        if data:
            chosen[data[0] % len(chosen)].feed(data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for place, target in enumerate(chosen):
            for number, seed in enumerate(target.seeds):
                Path(corpus, f"{place}-{number}").write_bytes(bytes([place]) + seed)
        flags = [
            f"-runs={options.runs}",
            f"-max_len={_LONGEST}",
            f"-seed={options.seed}",
            f"-artifact_prefix={corpus}/",
        ]
        atheris.Setup([sys.argv[0], *flags, "-timeout=10", "-rss_limit_mb=2048", corpus], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
