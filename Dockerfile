# This file builds three images; each contains only the packages of its own extra.
#   docker build --target api|worker|operator .
# A fourth target, dev, is one of them with source that can change while it runs (skaffold.yaml).
# Packages are installed from locks with hashes, which are parts of requirements.lock; `make lock` writes them.
ARG PYTHON=3.12
ARG COMPONENT=api

FROM python:${PYTHON}-slim AS base
ENV PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
# The Python image contains no bytecode, and a container with a read-only root would compile the library at every start.
RUN python -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM base AS wheel
WORKDIR /src
COPY requirements/build.lock requirements/
RUN pip install --quiet --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY operator operator
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

FROM base AS packages
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements /build/requirements

FROM packages AS api-packages
RUN pip install --quiet --require-hashes -r /build/requirements/api.lock
COPY --from=wheel /wheels /wheels
RUN pip install --quiet --no-deps /wheels/*.whl && pip uninstall --quiet --yes pip

FROM packages AS worker-packages
RUN pip install --quiet --require-hashes -r /build/requirements/worker.lock
COPY --from=wheel /wheels /wheels
RUN pip install --quiet --no-deps /wheels/*.whl && pip uninstall --quiet --yes pip

FROM packages AS operator-packages
RUN pip install --quiet --require-hashes -r /build/requirements/operator.lock
COPY --from=wheel /wheels /wheels
RUN pip install --quiet --no-deps /wheels/*.whl && pip uninstall --quiet --yes pip

FROM base AS runtime
ENV PATH=/opt/venv/bin:$PATH \
    LOG_FORMAT=json \
    HOME=/tmp
WORKDIR /tmp
# The kernel discards a SIGTERM for process 1 of a container while it has no handler for it. A worker that was stopped
# while it started would run tasks until it is killed; as a child of tini it ends at once.
RUN apt-get update --quiet --quiet \
    && apt-get install --quiet --quiet --yes --no-install-recommends tini=0.19.* \
    && rm -rf /var/lib/apt/lists/*
# Celery logs a warning at every start if the group has no name.
RUN groupadd --gid 10001 agent-orchestrator
USER 10001:10001

FROM runtime AS api
COPY --from=api-packages /opt/venv /opt/venv
ENV AGENT_API_HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["tini", "--", "python", "-m", "app.main"]
LABEL org.opencontainers.image.title="agent-orchestrator-api" \
    org.opencontainers.image.description="Accepts tasks over HTTP and returns their results" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS worker
COPY --from=worker-packages /opt/venv /opt/venv
ENV AGENT_METRICS_HOST=0.0.0.0
EXPOSE 9100
HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/health', timeout=2)"]
ENTRYPOINT ["tini", "--", "python", "-m", "worker"]
LABEL org.opencontainers.image.title="agent-orchestrator-worker" \
    org.opencontainers.image.description="Runs tasks" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS operator
COPY --from=operator-packages /opt/venv /opt/venv
ENV AGENT_OPERATOR_HOST=0.0.0.0
EXPOSE 9110
HEALTHCHECK --interval=30s --timeout=10s --retries=3 CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9110/health', timeout=2)"]
ENTRYPOINT ["tini", "--", "python", "-m", "agent_operator"]
LABEL org.opencontainers.image.title="agent-orchestrator-operator" \
    org.opencontainers.image.description="Reconciles AgentTasks and scales workers" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM ${COMPONENT} AS dev
ARG MODULE=app.main
USER 0:0
COPY requirements/reload.lock /build/requirements/
RUN /usr/local/bin/pip --python /opt/venv/bin/python install --quiet --require-hashes -r /build/requirements/reload.lock
COPY --chown=10001:10001 app /src/app
COPY --chown=10001:10001 worker /src/worker
COPY --chown=10001:10001 operator /src/operator
ENV PYTHONPATH=/src:/src/operator \
    MODULE=${MODULE}
USER 10001:10001
ENTRYPOINT ["tini", "--", "sh", "-c", "exec watchfiles --filter python \"python -m $MODULE\" /src"]
