"""The compiled engine: a model's ONNX graph, run by kernels of our own and proven against onnxruntime."""
