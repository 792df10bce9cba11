# Targets: service (no torch inside), worker, worker-cuda.
#
# The environment of each is installed in a stage of its own and copied: no pip cache, no
# build tool and no root process reach the image that runs. The checkout is the program, found
# through an editable install, exactly as on a laptop.

FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv --without-pip /opt/descend
COPY pyproject.toml constraints.txt README.md LICENSE ./

FROM build AS build-service
RUN pip --python /opt/descend/bin/python install --no-cache-dir \
    -c constraints.txt -e '.[service]'

# Which torch: the one of the index that pip is configured with. For PyTorch's smaller CPU build:
# --build-arg PIP_EXTRA_INDEX_URL=(PyTorch's index of CPU wheels)
FROM build AS build-worker
ARG PIP_EXTRA_INDEX_URL=""
RUN pip --python /opt/descend/bin/python install --no-cache-dir \
    -c constraints.txt -e '.[workers]'

FROM build AS build-worker-cuda
ARG PIP_EXTRA_INDEX_URL=""
RUN pip --python /opt/descend/bin/python install --no-cache-dir \
    -c constraints.txt -e '.[workers]' \
    && /opt/descend/bin/python -c "import torch; assert torch.version.cuda, 'this torch is built without CUDA'"

FROM python:3.11-slim AS runtime
ENV PATH=/opt/descend/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DESCEND_DATA=/data
WORKDIR /app
RUN groupadd --gid 10001 descend \
    && useradd --uid 10001 --gid descend --no-create-home --shell /usr/sbin/nologin descend \
    && install --directory --mode 0700 --owner descend --group descend /data
COPY pyproject.toml ./
COPY descend descend
COPY storage storage

FROM runtime AS service
COPY --from=build-service /opt/descend /opt/descend
COPY service service
RUN python -m compileall -q descend storage service
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "service"]

FROM runtime AS worker
COPY --from=build-worker /opt/descend /opt/descend
COPY workers workers
RUN python -m compileall -q descend storage workers
USER 10001:10001
CMD ["python", "-m", "workers"]

FROM runtime AS worker-cuda
ENV DESCEND_QUEUES=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-worker-cuda /opt/descend /opt/descend
COPY workers workers
RUN python -m compileall -q descend storage workers
USER 10001:10001
CMD ["python", "-m", "workers"]
