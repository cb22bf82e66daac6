"""A client of NVIDIA Triton asks Tickline: `python docs/examples/triton.py localhost:5000 random_forest`.

The Open Inference Protocol is the same for both servers, so that code which talks to one talks to the other. Needs the
package `tritonclient[http]`. Tensors travel as binary data both ways.
"""

import sys

import numpy as np
import tritonclient.http as triton

address, model = sys.argv[1:]
with triton.InferenceServerClient(address) as client:
    if not client.is_model_ready(model):
        raise SystemExit(f"{address} does not serve {model!r}; /model/info names its model")
    (described,) = client.get_model_metadata(model)["inputs"]
    width = described["shape"][-1]

    rows = np.random.default_rng(0).normal(100, 5, size=(4, width)).astype(np.float32)
    features = triton.InferInput("features", rows.shape, "FP32")
    features.set_data_from_numpy(rows, binary_data=True)
    wanted = [triton.InferRequestedOutput(name, binary_data=True) for name in ("label", "probabilities")]

    reply = client.infer(model, [features], outputs=wanted)
    for label, probabilities in zip(reply.as_numpy("label"), reply.as_numpy("probabilities"), strict=True):
        print(label.decode(), probabilities)
