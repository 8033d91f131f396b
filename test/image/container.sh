#!/bin/bash
# container.sh: builds the image from the Dockerfile and proves, with a docker engine of its own, that it runs as the README
# says. One line per rule, "PASS|FAIL rule seconds"; exit 1 when a rule does not hold, 2 when it cannot start. About a minute.
#
# Needs root and docker.io debootstrap curl jq openssl, npm, and `npm ci` done: its Node.js goes into the base image, because
# no registry is asked for one. Environment: ROOTFS=FILE.tar, a Debian root file system (made with debootstrap when absent) ·
# KEEP=1 leaves the work folder · TMPDIR. Whatever it starts and makes lies in one temporary folder and is gone afterwards.
set -u -o pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/image.XXXXXX")
rootfs=${ROOTFS:-${TMPDIR:-/tmp}/minbase.tar}
log=$work/log; engine=; failed=0; passed=0
export DOCKER_CONFIG=$work/client DOCKER_HOST=unix://$work/socket DOCKER_BUILDKIT=0 DOCKER_CLI_HINTS=false

finish() {
  trap '' INT TERM
  if [ -n "$engine" ]; then
    docker ps -aq | xargs -r docker rm -fv >/dev/null 2>&1
    kill "$engine" 2>/dev/null
    for _ in $(seq 100); do kill -0 "$engine" 2>/dev/null || break; sleep .1; done
    kill -9 "$engine" 2>/dev/null
  fi
  awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
  if [ -n "${KEEP:-}" ]; then echo "left $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# rule NAME COMMAND...: runs the command under `set -e`; what it prints goes to the log.
rule() {
  local name=$1 from=$SECONDS at
  shift
  at=$(stat -c %s "$log")
  echo "=== $name" >>"$log"
  if (set -e; "$@") >>"$log" 2>&1; then
    passed=$((passed + 1)); printf 'PASS  %-62s %3d s\n' "$name" $((SECONDS - from))
  else
    failed=$((failed + 1)); printf 'FAIL  %-62s %3d s\n' "$name" $((SECONDS - from)); tail -c +$((at + 1)) "$log" | tail -12 | sed 's/^/      /'
  fi
}
cannot() { echo "cannot start: $*" >&2; exit 2; }
until_true() { local i; for i in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; return 1; }
fails() { if "$@"; then return 1; fi; }

# ---- what is needed ----------------------------------------------------------------------------------------------
[ "$(id -u)" = 0 ] || cannot 'must be root'
for command in docker dockerd curl jq openssl npm; do command -v "$command" >/dev/null || cannot "$command is missing"; done
node=$home/node_modules/node/bin/node
[ -x "$node" ] || cannot 'run npm ci first'
mkdir -p "$work/client" "$work/files" "$work/base"; : >"$log"; echo '{}' | tee "$work/engine.json" >"$work/client/config.json"
if [ ! -s "$rootfs" ]; then
  command -v debootstrap >/dev/null || cannot 'debootstrap is missing'
  rootfs=$work/rootfs.tar
  debootstrap --variant=minbase bookworm "$work/debian" >>"$log" 2>&1 || cannot 'debootstrap failed'
  rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/*
  tar -C "$work/debian" --numeric-owner -cf "$rootfs" . && rm -rf "$work/debian"
fi
dockerd --config-file "$work/engine.json" --data-root "$work/engine" --exec-root "$work/exec" -p "$work/pid" -H "$DOCKER_HOST" \
  --bridge=none --iptables=false --ip-forward=false --ip-masq=false >"$work/engine.log" 2>&1 &
engine=$!
until_true docker info || cannot "dockerd: $(tail -1 "$work/engine.log")"
ports=$("$node" -e 'const s = [0, 0, 0, 0].map(() => require("net").createServer().listen(0, "127.0.0.1")); setTimeout(() => { console.log(...s.map((x) => x.address().port)); process.exit() }, 50)')
read -r first second third fourth <<<"$ports"

# ---- the image -----------------------------------------------------------------------------------------------------
# In place of the two images that the Dockerfile names: Debian, and Debian with Node.js and npm as this machine has them.
make_bases() {
  docker import "$rootfs" base:debian
  local tree=$work/base cafile
  mkdir -p "$tree/usr/local/bin" "$tree/usr/local/lib/node_modules" "$tree/etc/ssl/certs"
  cp "$node" "$tree/usr/local/bin/node"
  cp -RL "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$tree/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$tree/usr/local/bin/npm"
  cafile=$(npm config get cafile)
  [ -f "$cafile" ] || cafile=${NODE_EXTRA_CA_CERTS:-}
  if [ -f "$cafile" ]; then # as this machine reaches its package registry
    mkdir -p "$tree/usr/local/etc"; cp -L "$cafile" "$tree/etc/ssl/certs/npm.pem"; echo 'cafile=/etc/ssl/certs/npm.pem' >"$tree/usr/local/etc/npmrc"
  fi
  printf 'FROM base:debian\nCOPY . /\n' >"$work/base.Dockerfile"
  docker build -q -f "$work/base.Dockerfile" -t base:node "$tree"
  rm -rf "$tree"
}
build() { docker build --network host --build-arg NODE_IMAGE=base:node --build-arg RUN_IMAGE=base:debian -t lanyard "$home"; }
in_image() { docker run --rm --network none --entrypoint /bin/sh lanyard -c "$1"; }
holds_the_program() {
  in_image 'cd /app && ls -A . && ls cli/lanyard.js migrations/sqlite/0001-core.sql LICENSE'
  [ "$(in_image 'find / -xdev \( -name npm -o -name docs -path "/app/docs*" -o -name test -path "/app/test" \) -print 2>/dev/null')" = '' ]
  [ "$(in_image 'find /app -name "*.node" | wc -l')" -ge 2 ]
  [ "$(in_image 'find /app -name "*.node" -path "*win32*" -o -name "*.node" -path "*darwin*"')" = '' ]
}
belongs_to_root() { [ "$(in_image 'find /app /usr/local/bin ! -user 0 -o ! -type l -perm /022' | tee /dev/stderr)" = '' ]; }
rule 'two base images are made' make_bases
rule 'the image builds' build
[ "$failed" = 0 ] || exit 1
bytes() { docker image inspect -f '{{.Size}}' "$1"; }
printf 'SIZE  image %d MiB, of which base %d MiB, node %d MiB, program %d MiB\n' $(($(bytes lanyard) >> 20)) $(($(bytes base:debian) >> 20)) \
  $(($(stat -c %s "$node") >> 20)) $((($(bytes lanyard) - $(bytes base:debian) - $(stat -c %s "$node")) >> 20))
rule 'it holds the program and neither npm nor what other systems need' holds_the_program
rule 'nothing in it can be written by the user it runs as' belongs_to_root

# ---- a container that may do nothing but its work --------------------------------------------------------------------
password=$(openssl rand -base64 18); echo "$password" >"$work/files/password"
mkdir "$work/data" && chown -R 12345:12345 "$work/data" "$work/files"
host=127.0.0.1:$first
confined='--network host --read-only --cap-drop ALL --security-opt no-new-privileges --health-interval 1s'
run_confined() {
  docker run -d --name confined $confined --user 12345:12345 -v "$work/data:/data" -v "$work/files:/run/secrets:ro" \
    -e LANYARD_LISTEN="$host" -e LANYARD_ADMIN_PASSWORD_FILE=/run/secrets/password -e LANYARD_AUTH_BCRYPT_COST=8 lanyard
}
health() { docker inspect -f '{{.State.Health.Status}}' "$1"; }
healthy() { until_true eval "[ \"\$(health $1)\" = healthy ]" || { docker logs "$1"; docker inspect -f '{{json .State.Health}}' "$1"; return 1; }; }
starts_confined() { run_confined; healthy confined; [ "$(docker exec confined id -u)" = 12345 ]; }
logs_in() { docker login -u admin --password-stdin "$host" <"$work/files/password"; fails docker login -u admin --password-stdin "$host" <<<wrong-password; docker login -u admin --password-stdin "$host" <"$work/files/password"; }
make_image() { # 24 MiB that do not compress, and a file
  mkdir -p "$work/tree"; openssl rand 25165824 >"$work/tree/random"; echo hello >"$work/tree/hello"
  tar -C "$work/tree" -c . | docker import - "$host/admin/sample:1"
}
id_of() { docker image inspect -f '{{.Id}}' "$1"; }
pushes_and_pulls() {
  make_image; id_of "$host/admin/sample:1" >"$work/id"
  docker push "$host/admin/sample:1"; pulls
}
pulls() { docker rmi "$host/admin/sample:1"; docker pull "$host/admin/sample:1"; [ "$(id_of "$host/admin/sample:1")" = "$(cat "$work/id")" ]; }
administers() {
  docker exec -i confined lanyard user add bob --password-stdin <<<'correct horse battery'
  docker exec confined lanyard user list | tee /dev/stderr | grep -q '^bob  *user  *enabled'
  docker exec confined lanyard repo list | tee /dev/stderr | grep -q '^admin/sample  *private'
}
writes_only_data() { [ "$(docker diff confined | tee /dev/stderr)" = '' ]; [ "$(find "$work/data" ! -uid 12345)" = '' ]; [ "$(find "$work/data" -mindepth 1 -perm /077 | tee /dev/stderr)" = '' ]; }
# SQLite wants a temporary file for the undo information of a large change: there is no folder for one.
changes_much() {
  local digest accept=application/vnd.docker.distribution.manifest.v2+json start query i
  api() { curl -fsS -u "admin:$password" "$@"; }
  api -H "Accept: $accept" -o "$work/manifest" "http://$host/v2/admin/sample/manifests/1"
  digest=sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1)
  for start in $(seq 0 100 4900); do
    query=$(for i in $(seq "$start" $((start + 99))); do printf 'tag=a-tag-with-a-rather-long-name-so-that-it-fills-pages-%d&' "$i"; done)
    api -o /dev/null -X PUT -H "Content-Type: $accept" --data-binary "@$work/manifest" "http://$host/v2/admin/sample/manifests/$digest?$query"
  done
  [ "$(api "http://$host/v2/admin/sample/tags/list" | jq '.tags | length')" = 5001 ]
  api -X DELETE "http://$host/v2/admin/sample/manifests/$digest"
  [ "$(api "http://$host/v2/admin/sample/tags/list" | jq -c .tags)" = '[]' ]
  docker push "$host/admin/sample:1"
}
stops_in_time() { # while an upload is under way that would take minutes
  local location started
  location=$(curl -fsS -u "admin:$password" -X POST -D - -o /dev/null "http://$host/v2/admin/sample/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
  head -c 200000000 /dev/zero | curl -sS --limit-rate 2M -u "admin:$password" -X PATCH -H 'Content-Type: application/octet-stream' -T - "http://$host$location" &
  until_true eval "find '$work/data/uploads' -type f -size +0c | grep -q ."
  started=$SECONDS; docker stop confined; wait $! || true
  [ $((SECONDS - started)) -le 10 ]; [ "$(docker inspect -f '{{.State.ExitCode}}' confined)" = 0 ]; docker logs confined 2>&1 | grep -q '"stopped"'
}
starts_again() { docker start confined; healthy confined; docker login -u admin --password-stdin "$host" <"$work/files/password"; pulls; }
rule 'read-only, without capabilities, as any user: it becomes healthy' starts_confined
rule 'docker login succeeds with the password and fails without' logs_in
rule 'docker push, rmi, pull: the same image' pushes_and_pulls
rule 'docker exec runs the commands on a running registry' administers
rule 'a change of 5,000 tags in one transaction needs no folder for temporary files' changes_much
rule 'it writes nothing but its data, for itself alone' writes_only_data
rule 'docker stop during an upload: exit status 0 within the grace' stops_in_time
rule 'docker start on the same data: the same image' starts_again
docker rm -f confined >>"$log" 2>&1

# ---- other ways to start it ------------------------------------------------------------------------------------------
plain_start() { # no settings but the address, a volume that docker makes, the image's own user
  docker run -d --name plain $confined -e LANYARD_LISTEN="127.0.0.1:$second" -v lanyard:/data lanyard
  healthy plain; [ "$(docker exec plain id -u)" = 65532 ]
  docker logs plain 2>&1 | awk '$1 == "password" { print $2 }' >"$work/made"; [ -s "$work/made" ]
  docker login -u admin --password-stdin "127.0.0.1:$second" <"$work/made"
}
tls_start() { # the address from a flag, the certificate from a file of settings: the health check finds both
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
    -keyout "$work/files/key.pem" -out "$work/files/certificate.pem"
  printf 'tls:\n  certificate: /config/certificate.pem\n  key: /config/key.pem\n' >"$work/files/lanyard.yaml"; chown -R 65532:65532 "$work/files"
  docker run -d --name tls $confined -v "$work/files:/config:ro" -e LANYARD_CONFIG=/config/lanyard.yaml lanyard serve --listen "127.0.0.1:$third"
  healthy tls; [ "$(curl -fsS --cacert "$work/files/certificate.pem" "https://localhost:$third/readyz")" = ready ]
}
becomes_unhealthy() { # the health check says no to whatever is not a registry that is ready
  docker exec plain node /app/cli/health-check.js
  fails docker exec -e LANYARD_DATA=/nowhere -e LANYARD_LISTEN="127.0.0.1:1" plain node /app/cli/health-check.js
}
explains_itself() { # a folder that its user may not write
  mkdir -p "$work/foreign"; fails docker run --name foreign $confined -v "$work/foreign:/data" lanyard
  docker logs foreign 2>&1 | tee /dev/stderr | grep -q 'may not write there'
}
compose() { if docker compose version >/dev/null 2>&1; then docker compose -p trial -f "$work/compose.yaml" "$@"; else docker-compose -p trial -f "$work/compose.yaml" "$@"; fi; }
composes() { # deploy/compose.yaml on another port, with the image that is there
  local container
  sed -e "s|127.0.0.1:5000:5000|127.0.0.1:$fourth:5000|" -e "s|build: \.\.|build: $home|" "$home/deploy/compose.yaml" >"$work/compose.yaml"
  compose config -q; compose up -d --no-build
  container=$(compose ps -q registry); healthy "$container"
  [ "$(curl -fsS "http://127.0.0.1:$fourth/readyz")" = ready ]
  compose logs registry | grep -q 'password  '
  compose exec -T registry lanyard user list | tee /dev/stderr | grep -q '^admin  *admin  *enabled'
  compose stop; [ "$(docker inspect -f '{{.State.ExitCode}}' "$container")" = 0 ]; compose down -v
}
rule 'without settings it makes a password, shows it and takes it' plain_start
rule 'TLS from a file of settings, address from a flag: healthy' tls_start
rule 'the health check fails where nothing answers' becomes_unhealthy
rule 'a data folder of another user: it says so and ends' explains_itself
if docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; then rule 'deploy/compose.yaml starts, serves and stops' composes; else echo 'SKIP  deploy/compose.yaml: docker compose is not here'; fi

echo "# $passed passed, $failed failed in $SECONDS s"
if [ "$failed" -gt 0 ]; then cp "$log" "${TMPDIR:-/tmp}/container-last.log"; echo "# log: ${TMPDIR:-/tmp}/container-last.log"; exit 1; fi
