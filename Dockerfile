# Lanyard in a container: small, non-root, works with --read-only --cap-drop ALL and any user id.
#
#   docker build -t lanyard .
#   docker run -p 5000:5000 -v lanyard:/data lanyard
#
# NODE_IMAGE is any image with Node.js 24, npm and a shell; its node is copied into RUN_IMAGE, which needs no more than the
# C++ library of the same system (libstdc++). Both must be of one kind: Debian 12 here.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /runtime/app
COPY package.json package-lock.json ./
# What no process ever loads goes again: TypeScript below node_modules (Node refuses to run it), maps, the C sources of the
# addons and their builds for other systems.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && cd node_modules \
 && find . -type f \( -name '*.ts' -o -name '*.cts' -o -name '*.mts' -o -name '*.map' \) -delete \
 && rm -rf better-sqlite3/deps better-sqlite3/src bcrypt/src bcrypt/test bcrypt/examples node-addon-api \
 && architecture="$(node -p process.arch)" \
 && find better-sqlite3/prebuilds -type f ! -name "linux*-$architecture.node" -delete \
 && find bcrypt/prebuilds -mindepth 1 -maxdepth 1 ! -name "linux-$architecture" -exec rm -r {} + \
 && find . -type d -empty -delete
COPY LICENSE ./
COPY oci ./oci
COPY storage ./storage
COPY auth ./auth
COPY registry ./registry
COPY server ./server
COPY cli ./cli
COPY migrations ./migrations
# Any user id may be given at run time, so the data folder is open to all inside the container; the volume is what is mounted
# there. The last line starts the program once: what is left of the addons must load.
RUN mkdir -p /runtime/usr/local/bin \
 && cp "$(node -p process.execPath)" /runtime/usr/local/bin/node \
 && chmod -R a+rX,go-w . && chmod a+x cli/lanyard.js && ln -s /app/cli/lanyard.js /runtime/usr/local/bin/lanyard \
 && mkdir -m 0777 /runtime/data \
 && echo a-password | node cli/lanyard.js user add trial --admin --password-stdin --data /tmp/trial

FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="Lanyard" \
      org.opencontainers.image.description="A self-hosted OCI container registry" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /runtime/ /
WORKDIR /app
ENV NODE_ENV=production LANYARD_DATA=/data LANYARD_LISTEN=0.0.0.0:5000
USER 65532:65532
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["node", "/app/cli/health-check.js"]
ENTRYPOINT ["node", "/app/cli/lanyard.js"]
CMD ["serve"]
