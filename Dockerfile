# Tickstorm in a small image, without what built it, run by a user without rights.
#
#   docker build -t tickstorm .
#   docker run -p 8080:8080 -e STREAM_USER=... -e STREAM_PASS=... tickstorm
#
# It listens for subscribers on all of the container's addresses, and so asks for a login: without
# STREAM_USER and STREAM_PASS (or --auth) it says so in one line and ends. Every other setting is in
# the environment too (see conf/tickstorm.toml), or an option behind the image's name. It writes
# nothing but its log, to standard output: --read-only is fine.

FROM python:3.13-slim AS build

WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tickstorm tickstorm
COPY twisted twisted
RUN python -m venv --without-pip /opt/tickstorm \
 && python -m pip --python /opt/tickstorm/bin/python install --no-cache-dir ".[redis,tokens]"
# Twisted keeps a list of plugins beside them, which the user below could not write at its first start.
RUN /opt/tickstorm/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"


FROM python:3.13-slim

LABEL org.opencontainers.image.title="Tickstorm" \
      org.opencontainers.image.description="Streams live prices to many subscribers" \
      org.opencontainers.image.licenses="MIT"

# A number of its own, so that files of a volume can be made readable to it.
RUN groupadd --gid 10001 tickstorm \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin tickstorm
COPY --from=build /opt/tickstorm /opt/tickstorm

# The page of metrics and health asks for no login: publish 8080 alone, and leave 9090 to the network
# that Prometheus is in. docker stop kills after 10 s, and a stop may take twice the drain's time and
# 2 s more: for a longer --stop-timeout set a longer TICKSTORM_DRAIN_TIMEOUT.
ENV PATH=/opt/tickstorm/bin:$PATH \
    LISTEN_ADDR=0.0.0.0:8080 \
    TICKSTORM_HTTP=tcp:9090 \
    TICKSTORM_DRAIN_TIMEOUT=4s
EXPOSE 8080 9090

USER 10001:10001
STOPSIGNAL SIGTERM
# It asks where TICKSTORM_HTTP says: another address belongs there, and not into an option.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["tickstorm", "health"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "tickstorm"]
