#!/bin/bash
# schemathesis.sh: whether the OpenAPI document is valid, and whether property-based requests made from it by somebody else's program
# find an answer that it does not admit or a fault of the server. About a minute.
#
# Needs python3 with venv, curl, and `npm ci` done; the two programs come from PyPI into a folder of their own. Environment: PORT (5341)
# · EXAMPLES=25, requests tried for each operation and kind · SEED=1 · VENV=FOLDER, where the programs are or are to be kept.
set -eu -o pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/schemathesis.XXXXXX")
venv=${VENV:-$work/venv}; port=${PORT:-5341}; url=http://127.0.0.1:$port; server=
finish() { [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; rm -rf "$work"; }
trap finish EXIT
lanyard() { LANYARD_DATA=$work/data LANYARD_AUTH_BCRYPT_COST=4 "$home/node_modules/.bin/node" "$home/cli/lanyard.js" "$@"; }

[ -x "$venv/bin/schemathesis" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install -q schemathesis==4.32.5 openapi-spec-validator; }
mkdir "$work/data"
PORT=$port DATA=$work/data AUTH=1 WORKERS=1 LANYARD_AUTH_BCRYPT_COST=4 "$home/bench/target.sh" serve >"$work/log" 2>&1 & server=$!
for _ in $(seq 150); do curl -s -o /dev/null "$url/v2/" && break; sleep .1; done
# Whoever asks is not one of the accounts that the document's examples change.
password=$(head -c 18 /dev/urandom | base64)
lanyard user add prober --admin --password-stdin <<<"$password" >/dev/null
lanyard namespace create team --owner alice >/dev/null
for tag in latest v1; do
  config='{}'; digest=sha256:$(printf %s "$config" | sha256sum | cut -d' ' -f1)
  curl -sf -u "prober:$password" -X POST -H 'Content-Type: application/octet-stream' --data "$config" "$url/v2/team/app/blobs/uploads/?digest=$digest" >/dev/null
  curl -sf -u "prober:$password" -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' "$url/v2/team/app/manifests/$tag" --data \
    "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"$digest\",\"size\":2},\"layers\":[]}" >/dev/null
done

curl -sf "$url/api/v1/openapi.json" >"$work/openapi.json"
"$venv/bin/openapi-spec-validator" "$work/openapi.json"
cd "$work" # it leaves files where it runs
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection
for user in "prober:$password" alice:s3cret; do
  "$venv/bin/schemathesis" run "$url/api/v1/openapi.json" --auth "$user" --checks "$checks" --continue-on-failure --warnings off \
    --max-examples "${EXAMPLES:-25}" --seed "${SEED:-1}" --request-timeout 10 | sed -n '/^=* \(FAILURES\|ERRORS\|SUMMARY\)/,$p'
done
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" = 200 ]
grep -c '"level":"error"' "$work/log" >/dev/null && { echo 'the server wrote faults to its log:'; head -5 "$work/log"; exit 1; }
echo 'PASS the OpenAPI document is valid, and every answer is one that it admits'
