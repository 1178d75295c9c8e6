# A server for models. docs/howto/service.md says how to run it with tokens, read-only.
#
#   docker build -t slugline .
#   docker run --rm -p 127.0.0.1:8080:8080 -e SLUGLINE_INSECURE=1 --read-only --tmpfs /tmp slugline

# The digest is that of the manifest for all architectures; it goes with the tag.
ARG PYTHON=3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
# More of what can be installed, such as "encoder" or "encoder,mcp".
ARG EXTRAS=

# Only this stage has a compiler.
FROM python:${PYTHON} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
ARG EXTRAS
WORKDIR /build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY requirements ./requirements
RUN python -m venv /opt/slugline
# Every file that is installed has a hash in requirements/, which `make lock` writes.
RUN /opt/slugline/bin/python -m pip install --no-cache-dir --require-hashes $(printf ' -r requirements/%s.txt' serve $(echo "$EXTRAS" | tr , ' '))
RUN python -m venv /build/tools && /build/tools/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY src ./src
RUN /build/tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist .
RUN /opt/slugline/bin/python -m pip install --no-cache-dir --no-deps dist/*.whl
# Without the compiled kernels everything works, more slowly.
RUN cd / && /opt/slugline/bin/python -c "from slugline.text.sparse import has_kernel; assert has_kernel(), 'a kernel is not built'"

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent slugline && install --directory --owner slugline /data
COPY --from=build /opt/slugline /opt/slugline
ENV PATH=/opt/slugline/bin:$PATH
ENV PYTHONDONTWRITEBYTECODE=1
# To be reachable from outside, it needs SLUGLINE_TOKEN_FILE or SLUGLINE_INSECURE=1.
ENV SLUGLINE_HOST=0.0.0.0
USER 10001
# Models and corrections are here; mount a volume.
WORKDIR /data
EXPOSE 8080
# It waits in the same queue as other requests.
HEALTHCHECK --interval=10s --timeout=15s --start-period=20s CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SLUGLINE_PORT', 8080)), timeout=10); c.request('GET', '/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["slugline"]
CMD ["serve"]
