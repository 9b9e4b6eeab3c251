# How a build talks: Heroku's arrows, details indented by seven, and errors with a hint.

step() { printf -- '-----> %s\n' "$*"; }
detail() { printf '       %s\n' "$*"; }
indent() { sed -u 's/^/       /'; }
warning() {
  local line
  printf '%s\n' "$*" | while IFS= read -r line; do printf ' !     %s\n' "$line"; done
}
# fail MESSAGE [DETAIL…]: what happened, to what, and a `hint:` line among the details; ends the build.
fail() {
  local line
  printf ' !\n !     %s\n' "$1"
  shift
  for line in "$@"; do printf ' !     %s\n' "$line"; done
  printf ' !\n'
  exit 1
}
