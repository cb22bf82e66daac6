# Serving image: the locked serving set, the server and nothing that builds or trains.
#   docker build --tag tickline .                                          a model is mounted at /models
#   docker build --tag tickline --build-arg MODEL=models/model.onnx .      the model is part of the image
ARG PYTHON_IMAGE=python:3.11-slim

# The kernels, ahead of time. The training image begins with the same stage, word for word, so that it is built once.
FROM ${PYTHON_IMAGE} AS kernels
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/build.txt requirements/
# Compiler and init are the base image's own release. The compiler is left behind with this stage.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev tini && rm -rf /var/lib/apt/lists/* \
    && pip install --require-hashes --requirement requirements/build.txt
COPY features_fast features_fast
COPY runtime runtime
RUN python -m features_fast.build && python -m runtime.build

FROM kernels AS build
COPY requirements/serve.txt requirements/
# What is uninstalled is asked for by onnxruntime, uvicorn and anyio, and imported by nothing that serves.
RUN python -m venv --without-pip /opt/tickline \
    && pip --python /opt/tickline/bin/python install --require-hashes --requirement requirements/serve.txt \
    && pip --python /opt/tickline/bin/python uninstall --yes flatbuffers h11 idna packaging protobuf
COPY pyproject.toml README.md tickline.py ./
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/tickline/bin/python install --no-deps dist/*.whl
COPY deploy/image/slim.py ./
COPY deploy/healthcheck.py /opt/tickline/bin/healthcheck.py
RUN python slim.py /opt/tickline /tree && install -D /usr/bin/tini /tree/usr/bin/tini \
    && if [ -e /usr/share/doc/tini/copyright ]; then install -D -m 644 -t /tree/usr/share/doc/tini /usr/share/doc/tini/copyright; fi

# The model that MODEL names, if any. One whose certificate does not hold stops the build.
FROM build AS model
ARG MODEL=deploy/image/no-model
WORKDIR /models
COPY ${MODEL} /given/
RUN set -- /given/*.onnx && if [ -e "$1" ]; then install -m 644 "$1" model.onnx && /opt/tickline/bin/tickline verify model.onnx; fi

FROM ${PYTHON_IMAGE}
COPY --from=build /tree /
COPY --from=build /opt/tickline /opt/tickline
COPY --from=model /models /models
ENV PATH=/opt/tickline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    MODEL_PATH=/models \
    HOST=0.0.0.0 \
    PORT=5000 \
    WORKERS=2
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/tickline/bin/healthcheck.py"]
# An init as process 1 forwards signals, also before the server listens to them, and reaps what others leave behind.
ENTRYPOINT ["tini", "--", "tickline"]
CMD ["serve"]
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="tickline" \
      org.opencontainers.image.description="Market bars in, an UP/DOWN probability out, in microseconds." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
