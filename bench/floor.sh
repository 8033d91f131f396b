#!/bin/bash
# floor.sh serve: a bare Node server that does a registry's unavoidable work and nothing else, as a target of the bench.
# Environment: PORT · DATA (a folder) · WORKERS (default: one for each core).
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
PATH=$home/node_modules/.bin:$PATH
[ "${1:-}" = serve ] || { echo 'usage: floor.sh serve' >&2; exit 2; }
[ "${AUTH:-0}" = 0 ] || { echo 'the floor knows no logins' >&2; exit 2; }
mkdir -p "${DATA:?DATA must name a folder}/uploads" "$DATA/blobs"
exec node "$home/bench/floor.ts"
