# From the Procfile and the components that cargo made to .dyno/process-types.toml.

# Sets PROCESS_NAMES and PROCESS_COMMANDS from the Procfile; both stay empty without one.
read_procfile() {
  local line
  PROCESS_NAMES=()
  PROCESS_COMMANDS=()
  [ -f "$BUILD_DIR/Procfile" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line%$'\r'}
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    [[ $line =~ ^([A-Za-z0-9_-]{1,30})[[:space:]]*:[[:space:]]*(.+)$ ]] || fail "Procfile: this line is not \"name: command\"" "$line" "hint: for example: web: target/release/app"
    PROCESS_NAMES+=("${BASH_REMATCH[1]}")
    PROCESS_COMMANDS+=("${BASH_REMATCH[2]}")
  done < <(head -n "$PROCFILE_LINES_MAX" "$BUILD_DIR/Procfile")
}

write_process_types() {
  local component name kind i
  declare -gA KINDS=()
  mkdir -p "$BUILD_DIR/.dyno"
  step "Components"
  for component in "$CARGO_TARGET_DIR/$TARGET/release"/*.wasm; do
    [ -f "$component" ] || continue
    [ ${#KINDS[@]} -lt "$COMPONENTS_MAX" ] || fail "this workspace makes more than $COMPONENTS_MAX components" "hint: set default-members in Cargo.toml"
    name=$(basename "$component" .wasm)
    kind=$("$DYNO" component kind "$component" 2>/dev/null) || kind=unknown
    KINDS[$name]=$kind
    cp "$component" "$BUILD_DIR/.dyno/$name.wasm"
    detail "$name: $kind ($(($(stat -c %s "$component") / 1024)) KiB)"
  done
  [ ${#KINDS[@]} -gt 0 ] || fail "cargo made no program" \
    "The crate has neither a bin nor a library of crate-type cdylib." "hint: add src/main.rs, or to Cargo.toml: [lib] crate-type = [\"cdylib\"]"
  [ ${#PROCESS_NAMES[@]} -gt 0 ] || process_types_by_convention
  local toml
  toml=$(printf 'format = 1\n\n[buildpack]\nname = "rust"\nversion = "%s"\n.' "$PACK_VERSION")
  toml=${toml%.}
  for i in "${!PROCESS_NAMES[@]}"; do
    resolve_command "${PROCESS_NAMES[$i]}" "${PROCESS_COMMANDS[$i]}"
    toml+=$(process_table "${PROCESS_NAMES[$i]}" && echo .)
    toml=${toml%.}
  done
  printf '%s' "$toml" >"$BUILD_DIR/.dyno/process-types.toml"
}

# Without a Procfile: the one program is the app. An HTTP handler is `web`, a command `worker`.
process_types_by_convention() {
  local name programs=()
  for name in "${!KINDS[@]}"; do
    case ${KINDS[$name]} in wasi:http/* | wasi:cli/command@*) programs+=("$name") ;; esac
  done
  if [ ${#programs[@]} -gt 1 ] && [ -n "${KINDS[web]:-}" ]; then programs=(web); fi
  [ ${#programs[@]} -eq 1 ] || fail "there is no Procfile, and the crate makes ${#programs[@]} programs: $(program_names)" \
    "hint: say which is which in a Procfile, for example: web: target/release/NAME"
  name=${programs[0]}
  case ${KINDS[$name]} in
    wasi:http/*) PROCESS_NAMES=(web) ;;
    *)
      PROCESS_NAMES=(worker)
      warning "$name exports no HTTP handler, so it becomes the process type worker." "hint: a server that listens on \$PORT is named in a Procfile: web: target/release/$name"
      ;;
  esac
  PROCESS_COMMANDS=("target/release/$name")
  detail "no Procfile: ${PROCESS_NAMES[0]} runs $name"
}

program_names() { printf '%s\n' "${!KINDS[@]}" | sort | tr '\n' ' '; }

# resolve_command TYPE COMMAND: sets PROGRAM, KIND and ARGUMENTS, or says why the line cannot run here.
resolve_command() {
  local type=$1 command=$2
  # xargs splits as a shell would, quotes included, but expands nothing: a Procfile is the app's, and no code of ours.
  mapfile -d '' -t ARGUMENTS < <(printf '%s' "$command" | xargs printf '%s\0' 2>/dev/null)
  [[ ${ARGUMENTS[*]} != *[[:cntrl:]]* ]] || fail "Procfile: the command of $type holds a control character" "hint: remove it"
  [ ${#ARGUMENTS[@]} -gt 0 ] || fail "Procfile: the command of $type cannot be split into words" "$command" "hint: check its quotes"
  PROGRAM=$(basename -- "${ARGUMENTS[0]}" .wasm)
  # Cargo names a library's file with underscores.
  [ -n "${KINDS[$PROGRAM]:-}" ] || PROGRAM=${PROGRAM//-/_}
  KIND=${KINDS[$PROGRAM]:-}
  [ -n "$KIND" ] || fail "Procfile: $type runs ${ARGUMENTS[0]}, which is no program of this crate" \
    "the crate makes: $(program_names)" "hint: write, for example, $type: target/release/$(program_names | cut -d' ' -f1)"
  case $type:$KIND in
    *:wasi:http/* | *:wasi:cli/command@*) ;;
    *) fail "the program $PROGRAM of process type $type exports neither an HTTP handler nor a main function" \
      "hint: export wasi:http by #[wstd::http_server], or write a fn main" ;;
  esac
  case $type:$KIND in
    # A server of its own. Without sockets it can only fail when it is to come up.
    web:wasi:cli/command@*) grep -q "wasi:sockets/tcp@" "$BUILD_DIR/.dyno/$PROGRAM.wasm" || fail \
      "the web process runs $PROGRAM, which neither handles HTTP requests nor opens sockets" \
      "hint: listen on \$PORT with std::net, or put #[wstd::http_server] on main, or run it as worker" ;;
  esac
}

# process_table TYPE: the lines of one process type.
process_table() {
  local argument words=()
  printf '\n[process.%s]\ncomponent = ".dyno/%s.wasm"\nworld = "%s"\n' "$1" "$PROGRAM" "$KIND"
  case $KIND in
    wasi:cli/command@*)
      ARGUMENTS[0]=$PROGRAM
      for argument in "${ARGUMENTS[@]}"; do words+=("$(toml_string "$argument")"); done
      (IFS=,; printf 'arguments = [%s]\n' "${words[*]}" | sed 's/","/", "/g')
      ;;
  esac
}

toml_string() {
  local s=$1
  s=${s//\\/\\\\}
  s=${s//\"/\\\"}
  printf '"%s"' "$s"
}
