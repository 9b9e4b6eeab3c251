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
  printf ' !\n'
  warning "$1"
  shift
  if [ $# -gt 0 ]; then printf '%s\n' "$@" | sed 's/^/ !     /'; fi
  printf ' !\n'
  exit 1
}
