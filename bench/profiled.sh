#!/bin/bash
# profiled.sh serve: target.sh serve, with a CPU profile of each process in the folder PROFILES when it ends.
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
PATH=$home/node_modules/.bin:$PATH
export LANYARD_DATA=$DATA LANYARD_LISTEN=127.0.0.1:$PORT LANYARD_LOG_LEVEL=error LANYARD_ACCESS=open LANYARD_WORKERS=$WORKERS
exec node --cpu-prof --cpu-prof-dir="$PROFILES" "$home/cli/lanyard.js" serve
