# A detector that answers over HTTP, without torch: ONNX Runtime runs the model.
#   docker build -t infraspot .
#   docker run --read-only --tmpfs /tmp -e INFRASPOT_TOKEN=... -p 8766:8766 infraspot
FROM python:3.12-slim
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir '.[serve]' && rm -rf /build
RUN useradd --create-home --shell /usr/sbin/nologin infraspot
USER infraspot
WORKDIR /tmp
# Compiled kernels are kept where a root file system that cannot be written to has a place for them.
ENV NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8766
HEALTHCHECK CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:8766/health', timeout=5)"
ENTRYPOINT ["infraspot", "serve", "--host", "0.0.0.0"]
