# Redis as a user of its own, with a password that appears on no command line.
FROM debian:bookworm-slim
# A number of its own: a volume keeps it, whatever the package would choose in the next build.
RUN useradd --system --uid 902 --user-group --shell /usr/sbin/nologin redis \
 && apt-get update && apt-get install -y --no-install-recommends redis-server \
 && apt-get clean && rm -rf /var/lib/apt/lists/* \
 && install -d -o redis -g redis /data
COPY deploy/redis.conf deploy/start-redis /opt/webinfer/
USER redis
WORKDIR /data
EXPOSE 6379
CMD ["/opt/webinfer/start-redis"]
