# Heroku's build output: headers with an arrow, details indented, problems with a mark.

header() { echo "-----> $*"; }
detail() { echo "       $*"; }

fail() {
  local first=$1
  shift
  echo " !     $first" >&2
  for line in "$@"; do
    echo " !     $line" >&2
  done
  exit 1
}

# Runs a command whose output matters only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    sed 's/^/       /' "$log" | tail -n 40 >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}
