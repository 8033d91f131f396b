#!/bin/bash
# recovery.sh: what a registry's users and its operator do when something went wrong, with docker, podman and skopeo: a full disk, a tag that
# was overwritten, a repository that was deleted, bits that flipped, a backup that becomes the registry. One line per rule, "PASS|FAIL rule
# seconds"; exit 1 when a rule does not hold, 2 when it cannot start. Under a minute.
#
# Needs root and docker.io podman skopeo busybox-static curl jq, and `npm ci` done. Environment: PORT (5340; the next one too) · KEEP=1 leaves
# the work folder · TMPDIR. Whatever it starts and makes lies in one temporary folder and is gone afterwards.
name=recovery
. "$(dirname "$0")/rules.sh"

need docker dockerd podman skopeo curl jq
mount -t tmpfs -o size=256m tmpfs "$work/data" || cannot 'no file system can be mounted'
start LANYARD_STORAGE_RESERVE_BYTES=8MiB
restored=127.0.0.1:$((port + 1))
start_engine "$restored"

# ---- images -------------------------------------------------------------------------------------------------------
# build NAME: an image whose layer has 4 MiB that no other has.
build() { head -c 4M /dev/urandom >"$work/image/data"; tar -C "$work/image" -c . | docker import -c 'CMD ["/bin/busybox","echo","it runs"]' - "$1"; }
push() { docker tag "$1" "$registry/$2"; docker push "$registry/$2"; }
pull_runs() { docker pull "$1"; [ "$(docker run --rm --network none "$1")" = 'it runs' ]; }
# The engine fetches only what it lacks; this fetches everything.
fetch() { rm -rf "$work/copy"; skopeo copy --src-tls-verify=false --src-creds alice:s3cret "docker://$registry/$1" "dir:$work/copy"; }
manifest() { curl -sf -u alice:s3cret -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json' "http://$registry/v2/$1/manifests/$2"; }
prepare() {
  lanyard namespace create team --owner alice
  docker login -u alice --password-stdin "$registry" <<<s3cret
  for image in one:1 two:1 three:1; do build "$image"; done
  push one:1 team/app:latest; push one:1 team/app:unwanted
  manifest team/app latest >"$work/one.json"
  # What skopeo will push, from where the registry has no blob of it.
  docker save three:1 -o "$work/three.tar"; skopeo copy "docker-archive:$work/three.tar" "dir:$work/unpushed"
}
rule 'an image is pushed' prepare

refused_at_once() { local from=$SECONDS; refused 'denied: the registry has no space left on its disk' "$@"; [ $((SECONDS - from)) -lt 5 ]; }

# ---- a full disk --------------------------------------------------------------------------------------------------
fill() { cat /dev/zero >"$work/data/filler" || true; df "$work/data"; [ "$(df --output=avail "$work/data" | tail -1)" -lt 1024 ]; }
rule 'the disk is filled' fill
rule 'docker: a push says in words that the disk is full, and does not try again' refused_at_once push three:1 team/app:3
rule 'skopeo: a push says so too' refused 'no space left on its disk' skopeo copy --dest-tls-verify=false --dest-creds alice:s3cret "dir:$work/unpushed" "docker://$registry/team/app:3"
pull_both() { pull_runs "$registry/team/app:latest"; fetch team/app:latest; }
rule 'docker, skopeo: pulls go on' pull_both
delete_tag() { lanyard tag delete team/app unwanted --yes; refused '' manifest team/app unwanted; }
rule 'deleting goes on' delete_tag
empty() { rm "$work/data/filler"; push three:1 team/app:3; pull_runs "$registry/team/app:3"; }
rule 'docker: with room again the same push succeeds, without a restart' empty

# ---- undo ---------------------------------------------------------------------------------------------------------
same_as_one() { manifest team/app latest | cmp - "$work/one.json"; fetch team/app:latest; pull_runs "$registry/team/app:latest"; }
overwrite() { push two:1 team/app:latest; manifest team/app latest >"$work/two.json"; refused differ cmp "$work/two.json" "$work/one.json"; }
rule 'docker: a tag is overwritten by mistake' overwrite
restore_tag() { lanyard tag restore team/app latest; same_as_one; }
rule 'one command makes it what it was, byte for byte' restore_tag
delete_repository() { lanyard repo delete team/app --yes; refused 'not found|unknown|denied' docker pull "$registry/team/app:latest"; }
rule 'docker: a repository is deleted, and cannot be pulled' delete_repository
restore_repository() {
  lanyard trash restore "$(lanyard trash list --json | jq -r '[.. | objects | select(.kind? == "repository")][0].id')"
  same_as_one; pull_runs "$registry/team/app:3"
}
rule 'one command brings it back, byte for byte' restore_repository

# ---- damage -------------------------------------------------------------------------------------------------------
layer_of() { jq -r '.layers[0].digest' "$1"; }
flip() {
  local digest file; digest=$(layer_of "$work/one.json"); file=$work/data/blobs/sha256/${digest:7:2}/${digest:7}
  printf 'flipped' | dd of="$file" bs=1 seek=1000 conv=notrunc status=none
  lanyard scrub run
  until_true damage_is_known
}
damage_is_known() { lanyard scrub status --json | grep -q "$(layer_of "$work/one.json")"; }
rule 'a scrub finds the bits that flipped' flip
rule 'skopeo: a pull of it fails' refused '500 ' fetch team/app:latest
heal() { push one:1 team/app:healed; refused '' damage_is_known; fetch team/app:latest; }
rule 'docker: pushing the image again heals it, also for the tag of before' heal
podman_pull() { podman pull --tls-verify=false --creds alice:s3cret "$registry/team/app:latest"; }
rule 'podman: pulls it' podman_pull

# ---- a backup -----------------------------------------------------------------------------------------------------
back_up() { lanyard backup "$work/backup"; lanyard backup verify "$work/backup"; }
rule 'a backup is made beside the running registry, and verified' back_up
restore() {
  lanyard restore "$work/backup" --data "$work/new"
  LANYARD_DATA=$work/new LANYARD_LISTEN=$restored LANYARD_LOG_LEVEL=error "$home/node_modules/.bin/node" "$home/cli/lanyard.js" serve & echo $! >"$work/new.pid"
  until_true curl -s -o /dev/null "http://$restored/v2/"
  docker login -u alice --password-stdin "$restored" <<<s3cret
  pull_runs "$restored/team/app:latest"; pull_runs "$restored/team/app:3"
  kill "$(cat "$work/new.pid")"; wait "$(cat "$work/new.pid")" || true
}
rule 'docker: pulls everything from what was restored' restore
rule 'the doctor finds nothing wrong but what this machine is' sh -c "LANYARD_DATA='$work/data' LANYARD_STORAGE_RESERVE_BYTES=8MiB '$home/node_modules/.bin/node' '$home/cli/lanyard.js' doctor | tee /dev/stderr | grep -q 'a small image was pushed'"
sum_up
