#!/bin/bash
# target.sh serve | gc: this registry in the foreground, as the load comparison and the acceptance suites start it.
# Environment: PORT · DATA (a folder) · AUTH=0 (open) or 1 (user alice, password s3cret, who may push and delete
# everywhere) · SPARSE=1 (manifests whose content is missing are accepted) · TLS=1 (a certificate made on the spot) ·
# WORKERS (default: as the registry decides).
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
PATH=$home/node_modules/.bin:$PATH
: "${DATA:?DATA must name a folder}"
export LANYARD_DATA=$DATA

case ${1:-} in
  serve)
    mkdir -p "$DATA"
    export LANYARD_LISTEN=127.0.0.1:${PORT:?PORT must be a number} LANYARD_LOG_LEVEL=${LANYARD_LOG_LEVEL:-error}
    # One token serves a whole comparison, as the peers' passwords do.
    export LANYARD_AUTH_TOKEN_SECONDS=3600
    [ -n "${WORKERS:-}" ] && export LANYARD_WORKERS=$WORKERS
    [ "${SPARSE:-0}" = 1 ] && export LANYARD_MANIFESTS_MISSING=off
    if [ "${AUTH:-0}" = 1 ]; then
      export LANYARD_ACCESS=login
      # The password is a judge's, shorter than the registry lets a person choose: so its hash is written beside the rule.
      node "$home/bench/judge-account.ts" alice s3cret
    else
      export LANYARD_ACCESS=open
    fi
    if [ "${TLS:-0}" = 1 ]; then
      [ -s "$DATA/judge.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
        -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$DATA/judge.key" -out "$DATA/judge.crt" 2>/dev/null
      export LANYARD_TLS_CERTIFICATE=$DATA/judge.crt LANYARD_TLS_KEY=$DATA/judge.key
    fi
    exec node "$home/cli/lanyard.js" serve
    ;;
  gc)
    # Everything at once: no lease, because nobody pushes; no trash; and untagged manifests, as the peers' collectors are told to.
    export LANYARD_GC_LEASE_HOURS=0 LANYARD_TRASH_DAYS=0
    exec node "$home/cli/lanyard.js" gc run --untagged 0
    ;;
  *)
    echo 'usage: target.sh serve | gc' >&2
    exit 2
    ;;
esac
