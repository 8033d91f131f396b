# Lanyard in a container: small, non-root, works with --read-only --cap-drop ALL and any user id.
#
#   docker build -t lanyard .
#   docker run -p 5000:5000 -v lanyard:/data lanyard
#
# NODE_IMAGE is any image with Node.js 24 and npm; RUN_IMAGE any with Node.js 24 (the same by default).
ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUN_IMAGE=${NODE_IMAGE}

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM ${RUN_IMAGE}
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY oci ./oci
COPY storage ./storage
COPY auth ./auth
COPY registry ./registry
COPY server ./server
COPY cli ./cli
COPY migrations ./migrations
# Any user id may be given at run time, so the data folder is open to all inside the container; the volume is what is mounted there.
RUN mkdir -p /data && chmod 0777 /data
ENV NODE_ENV=production LANYARD_DATA=/data LANYARD_LISTEN=0.0.0.0:5000
USER 65532:65532
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "/app/cli/health-check.js"]
ENTRYPOINT ["node", "/app/cli/lanyard.js"]
CMD ["serve"]
