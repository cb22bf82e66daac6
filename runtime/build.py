"""Build the codec of batches and the compiled engine ahead of time: ``python -m runtime.build [FOLDER]``."""

import sys
from typing import Any

from features_fast.build import Source, main
from runtime.codec import FOLDER, SOURCE_SYMBOL, fingerprint, library_path
from runtime.compiled.build import ENGINE


def _codec_kernels() -> tuple[dict[str, tuple[Any, Any]], dict[str, Any]]:
    from runtime import _codec, _drift, _grammar, _single_codec

    return _codec.KERNELS | _grammar.KERNELS | _single_codec.KERNELS | _drift.KERNELS, dict(_codec.FLAGS)


CODEC = Source("runtime.build", FOLDER, library_path, "runtime_codec_", SOURCE_SYMBOL, fingerprint, _codec_kernels)

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], CODEC) or ("--object" not in sys.argv and main(sys.argv[1:], ENGINE)))
