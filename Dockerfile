# Two images: `runtime`, which every part of a federation is a container of, and `dashboard`, nginx with the built pages.
# Bases are arguments, so that a hospital's own mirror can serve them.
ARG PYTHON_IMAGE=python:3.11-slim
ARG NODE_IMAGE=node:20-slim
ARG NGINX_IMAGE=nginx:1.27-alpine

FROM ${NODE_IMAGE} AS pages
WORKDIR /src/dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN npm ci
COPY dashboard/ ./
RUN npm run build

# The wheel knows its commit, so that runs of the image do.
FROM ${PYTHON_IMAGE} AS wheel
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends git \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=pages /src/dashboard/dist dashboard/dist
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
  && python docker/requirements.py > /wheels/requirements.txt

FROM ${PYTHON_IMAGE} AS runtime
ARG UID=10001
# Where else than PyPI, whose torch for Linux brings CUDA, pip looks for packages; empty: nowhere.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/fedforge/bin:$PATH
WORKDIR /opt/fedforge
COPY docker/constraints.txt ./
# torch alone first: it is the largest by far, and stays when anything else changes. pip compiles what it installs.
RUN python -m venv . \
  && pip install --no-cache-dir --retries 1 --constraint constraints.txt \
  ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch torchvision
COPY --from=wheel /wheels/requirements.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY --from=wheel /wheels/*.whl ./
RUN pip install --no-cache-dir --no-deps ./*.whl && rm ./*.whl \
  && groupadd --gid "$UID" fedforge \
  && useradd --uid "$UID" --gid "$UID" --no-create-home --home-dir /tmp fedforge
# Mount points: a named volume takes its owner from them.
RUN install --directory --owner="$UID" --group="$UID" --mode=0755 \
  /var/lib/fedforge /var/lib/dagster /secrets /shards \
  /provision /provision/authority /provision/superlink /provision/monitor /provision/run \
  && for site in 0 1 2 3 4 5 6 7 8 9; do \
  install --directory --owner="$UID" --group="$UID" --mode=0755 "/provision/site-$site" "/handover/site-0000$site"; \
  done
ENV FEDFORGE_HOME=/var/lib/fedforge \
  DAGSTER_HOME=/var/lib/dagster \
  HF_HOME=/tmp/huggingface \
  HOME=/tmp \
  MPLCONFIGDIR=/tmp/matplotlib \
  PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title="FedForge" \
  org.opencontainers.image.description="Federated learning on medical images: SuperLink, site, run, monitor, Dagster" \
  org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /var/lib/fedforge
USER ${UID}:${UID}
ENTRYPOINT ["fedforge"]
CMD ["--help"]

FROM ${NGINX_IMAGE} AS dashboard
COPY docker/nginx.conf /etc/nginx/nginx.conf
COPY --from=pages /src/dashboard/dist /usr/share/nginx/html
LABEL org.opencontainers.image.title="FedForge dashboard" \
  org.opencontainers.image.description="The operator's pages, and the way to the monitor's API" \
  org.opencontainers.image.licenses="Apache-2.0"
USER 101:101
# At once: to wait for open streams, as SIGQUIT has it, would be for ever.
STOPSIGNAL SIGTERM
ENTRYPOINT ["nginx"]
CMD ["-g", "daemon off;"]
