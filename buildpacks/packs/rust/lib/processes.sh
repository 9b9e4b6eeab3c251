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
  {
    printf 'format = 1\n\n[buildpack]\nname = "rust"\nversion = "%s"\n' "$PACK_VERSION"
    for i in "${!PROCESS_NAMES[@]}"; do
      resolve_command "${PROCESS_NAMES[$i]}" "${PROCESS_COMMANDS[$i]}"
      write_process "${PROCESS_NAMES[$i]}"
    done
  } >"$BUILD_DIR/.dyno/process-types.toml.new" 3>&1
  mv "$BUILD_DIR/.dyno/process-types.toml.new" "$BUILD_DIR/.dyno/process-types.toml"
}
