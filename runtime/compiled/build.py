"""Build the kernels of the compiled engine alone; ``python -m runtime.build`` builds these and the codec's."""

import sys
from typing import Any

from features_fast.build import Source, main
from runtime.compiled.kernels import FOLDER, PREFIX, SOURCE_SYMBOL, fingerprint, library_path


def _engine_kernels() -> tuple[dict[str, tuple[Any, Any]], dict[str, Any]]:
    from runtime.compiled import _kernels, _walk

    return _kernels.KERNELS, dict(_walk.FLAGS)


ENGINE = Source("runtime.compiled.build", FOLDER, library_path, PREFIX, SOURCE_SYMBOL, fingerprint, _engine_kernels)

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], ENGINE))
