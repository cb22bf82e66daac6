r"""Messages of the Open Inference Protocol v2 over gRPC, generated from inference.proto.

Whoever changes it generates them again, from the root of the repository:

    python -m grpc_tools.protoc --proto_path=runtime/_messages --python_out=runtime/_messages \
        --pyi_out=runtime/_messages inference.proto
"""
