#!/bin/bash
# robot.sh: a robot that may pull team/app* and nothing else, with docker, podman and skopeo: what it may it can, everything else is
# refused, and a push says in docker's own output what is missing and who can grant it. One line per rule, "PASS|FAIL rule seconds";
# exit 1 when a rule does not hold, 2 when it cannot start. About half a minute.
#
# Needs root and docker.io podman skopeo busybox-static curl jq, and `npm ci` done. Environment: PORT (5340) · KEEP=1 leaves the work
# folder · TMPDIR. Whatever it starts and makes lies in one temporary folder and is gone afterwards.
name=robot
. "$(dirname "$0")/rules.sh"

need docker dockerd podman skopeo curl jq
start
start_engine

# ---- an image in each of four repositories, and the robot ---------------------------------------------------------
prepare() {
  lanyard namespace create team --owner alice
  tar -C "$work/image" -c . | docker import -c 'CMD ["/bin/busybox","echo","it runs"]' - one:1
  docker login -u alice --password-stdin "$registry" <<<s3cret
  for name in team/app team/app-web team/other alice/own; do docker tag one:1 "$registry/$name:1"; docker push "$registry/$name:1"; done
  docker logout "$registry"
  for name in team/app team/app-web team/other alice/own; do docker rmi "$registry/$name:1"; done
  lanyard robot create team ci --pull 'team/app*' --expires 30d --json >"$work/robot.json"
  jq -e '.secret | length > 20' "$work/robot.json" >/dev/null
}
rule 'an owner makes a namespace, four images and a robot for two of them' prepare
user=team.ci; secret=$(jq -r .secret "$work/robot.json")

# ---- docker -------------------------------------------------------------------------------------------------------
docker_login() { docker login -u "$user" --password-stdin "$registry" <<<"$secret"; }
docker_pulls() { docker pull "$registry/$1"; [ "$(docker run --rm --network none "$registry/$1")" = 'it runs' ]; }
docker_push() { docker tag one:1 "$registry/$1"; refused "$2" docker push "$registry/$1"; }
rule 'docker: signs in with the secret as the password' docker_login
rule 'docker: pulls and runs team/app' docker_pulls team/app:1
rule 'docker: pulls and runs team/app-web' docker_pulls team/app-web:1
rule 'docker: team/other is refused' refused 'denied|not found' docker pull "$registry/team/other:1"
rule "docker: another namespace's image is refused" refused 'denied|not found' docker pull "$registry/alice/own:1"
rule 'docker: a push says what is missing and who can grant it' docker_push team/app:2 'covers pull on team/app\*, not push to team/app: ask an owner of team'
rule 'docker: a push into a new repository says so too' docker_push team/appendix:1 'not push to team/appendix: ask an owner of team'
rule 'docker: a push into another namespace is refused' docker_push alice/new:1 'denied'

# ---- podman and skopeo --------------------------------------------------------------------------------------------
plain=--tls-verify=false
podman_login() { podman login $plain -u "$user" --password-stdin "$registry" <<<"$secret"; }
podman_push() { podman tag "$registry/team/app:1" "$registry/team/app:3"; refused 'denied|may not push' podman push $plain "$registry/team/app:3"; }
rule 'podman: signs in' podman_login
rule 'podman: pulls team/app' podman pull $plain "$registry/team/app:1"
rule 'podman: pulls team/app-web' podman pull $plain "$registry/team/app-web:1"
rule 'podman: team/other is refused' refused 'denied|unauthorized|unknown' podman pull $plain "$registry/team/other:1"
rule "podman: another namespace's image is refused" refused 'denied|unauthorized|unknown' podman pull $plain "$registry/alice/own:1"
rule 'podman: a push is refused' podman_push
credentials=$user:$secret
skopeo_copy() { skopeo copy --src-tls-verify=false --src-creds "$credentials" "docker://$registry/$1" "dir:$work/copy"; }
rule 'skopeo: copies team/app' skopeo_copy team/app:1
rule 'skopeo: inspects team/app-web' skopeo inspect $plain --creds "$credentials" "docker://$registry/team/app-web:1"
rule 'skopeo: team/other is refused' refused 'denied|unauthorized|unknown' skopeo inspect $plain --creds "$credentials" "docker://$registry/team/other:1"
rule "skopeo: another namespace's image is refused" refused 'denied|unauthorized|unknown' skopeo inspect $plain --creds "$credentials" "docker://$registry/alice/own:1"
rule 'skopeo: a push is refused' refused 'denied|not push' skopeo copy --dest-tls-verify=false --dest-creds "$credentials" "dir:$work/copy" "docker://$registry/team/app:4"
rule 'skopeo: a delete is refused' refused 'not delete in team/app: ask' skopeo delete $plain --creds "$credentials" "docker://$registry/team/app:1"

# ---- and it ends at once ------------------------------------------------------------------------------------------
ends() { lanyard robot disable team ci; refused 'denied|unauthorized' docker pull "$registry/team/app:1"; refused 'denied|unauthorized' skopeo_copy team/app:1; }
rule 'disabled, it pulls nothing any more' ends

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
