# rules.sh: for scripts that hold rules against real clients, to be sourced with `name` set: a work folder that is gone afterwards, rules
# with one line each, a registry and a docker engine of their own.
set -u -o pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX")
port=${PORT:-5340}; registry=127.0.0.1:$port
log=$work/log; pids=(); failed=0; passed=0
export DOCKER_CONFIG=$work/client DOCKER_HOST=unix://$work/socket DOCKER_CLI_HINTS=false REGISTRY_AUTH_FILE=$work/auth.json

finish() {
  trap '' INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
  awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do umount -l "$mount"; done
  if [ -n "${KEEP:-}" ]; then echo "left $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

# rule NAME COMMAND...: runs the command under `set -e`; what it prints goes to the log.
rule() {
  local name=$1 from=$SECONDS at status
  shift
  at=$(stat -c %s "$log")
  echo "=== $name" >>"$log"
  # Not as a condition: there bash would go on behind a command that failed.
  (set -e; "$@") >>"$log" 2>&1; status=$?
  if [ "$status" = 0 ]; then
    passed=$((passed + 1)); printf 'PASS  %-72s %3d s\n' "$name" $((SECONDS - from))
  else
    failed=$((failed + 1)); printf 'FAIL  %-72s %3d s\n' "$name" $((SECONDS - from)); tail -c +$((at + 1)) "$log" | tail -12 | sed 's/^/      /'
  fi
}
cannot() { echo "cannot start: $*" >&2; [ -s "$log" ] && tail -5 "$log" >&2; exit 2; }
until_true() { local i; for i in $(seq 300); do "$@" >/dev/null 2>&1 && return 0; sleep .1; done; return 1; }
# refused WORDS COMMAND...: it must fail, and say so in these words (an extended regular expression).
refused() { local words=$1 said; shift; if said=$("$@" 2>&1); then echo "was allowed: $said"; return 1; fi; echo "$said"; grep -qE "$words" <<<"$said"; }
lanyard() { LANYARD_DATA=$work/data "$home/node_modules/.bin/node" "$home/cli/lanyard.js" "$@"; }
podman() { command podman --root "$work/pm/root" --runroot "$work/pm/run" --tmpdir "$work/pm/tmp" --storage-driver vfs --cgroup-manager cgroupfs --events-backend file "$@"; }

# need COMMAND...: root, and these beside busybox, whose program makes the images.
need() {
  [ "$(id -u)" = 0 ] || cannot 'must be root'
  local command; for command in "$@"; do command -v "$command" >/dev/null || cannot "$command is missing"; done
  command -v busybox >/dev/null || cannot 'busybox-static is missing'
  mkdir -p "$work/client" "$work/image/bin" "$work/data"; : >"$log"; echo '{}' | tee "$work/engine.json" "$work/auth.json" >"$work/client/config.json"
  cp "$(command -v busybox)" "$work/image/bin/busybox"
}

# start [VARIABLE=VALUE ...]: the registry, with the account alice.
start() {
  env "$@" PORT="$port" DATA="$work/data" AUTH=1 WORKERS=2 "$home/bench/target.sh" serve >>"$log" 2>&1 & pids+=($!)
  until_true curl -s -o /dev/null "http://$registry/v2/" || cannot 'the registry does not answer'
}

# start_engine [ADDRESS ...]: docker, for the registry and others at these addresses.
start_engine() {
  dockerd --config-file "$work/engine.json" --data-root "$work/engine" --exec-root "$work/exec" -p "$work/pid" -H "$DOCKER_HOST" \
    --bridge=none --iptables=false --ip-forward=false --ip-masq=false $(printf -- '--insecure-registry %s ' "$registry" "$@") >"$work/engine.log" 2>&1 & pids+=($!)
  until_true docker info || cannot 'the docker engine does not answer'
}

# The last line of a script.
sum_up() { echo "$passed passed, $failed failed"; [ "$failed" = 0 ]; }
