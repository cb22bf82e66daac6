# Serving image: the locked serving set, the server and nothing that builds or trains.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/serve.txt requirements/build.txt requirements/
# The compiler is the base image's own release, used in this stage and left behind.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* \
    && python -m venv --without-pip /opt/tickline \
    && pip --python /opt/tickline/bin/python install --require-hashes --requirement requirements/serve.txt \
    && pip install --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md tickline.py ./
COPY features_fast features_fast
COPY runtime runtime
RUN python -m features_fast.build && python -m runtime.build \
    && pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/tickline/bin/python install --no-deps dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="tickline" \
      org.opencontainers.image.description="Market bars in, an UP/DOWN probability out, in microseconds."
COPY --from=build /opt/tickline /opt/tickline
COPY deploy/healthcheck.py /opt/tickline/bin/healthcheck.py
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
    CMD ["python", "/opt/tickline/bin/healthcheck.py"]
ENTRYPOINT ["tickline"]
CMD ["serve"]
