# Chooses the toolchain and runs cargo, with everything it keeps in the build cache.

# Sets RUSTC, TOOLCHAIN (empty for the machine's own) and says what the app is built with.
choose_toolchain() {
  if machine_has_target; then
    TOOLCHAIN=
    RUSTC=$RUSTC_HOST
  else
    assemble_debian_toolchain
    RUSTC=$TOOLCHAIN/bin/rustc
  fi
  local version
  version=$("$RUSTC" --version | cut -d' ' -f2)
  step "Using Rust $version for $TARGET"
  [ -n "$TOOLCHAIN" ] || detail "the std of this machine's own toolchain"
  [ -z "$APP_CHANNEL" ] || [ "$APP_CHANNEL" = stable ] || [[ $version == "$APP_CHANNEL" || $version == "$APP_CHANNEL".* ]] ||
    detail "rust-toolchain asks for $APP_CHANNEL, which has no std for $TARGET here: building with $version"
}

# copy_cargo_settings CARGO_HOME: registry mirrors and the like of whoever runs the build; nothing else of theirs.
copy_cargo_settings() {
  local from
  mkdir -p "$1"
  for from in "${USER_CARGO_HOME:-}/config.toml" "$(dirname "$(dirname "$(command -v cargo)")")/config.toml"; do
    if [ -f "$from" ] && [ ! -f "$1/config.toml" ]; then cp "$from" "$1/config.toml"; fi
  done
  return 0
}

bound_target_cache() {
  local folder megabytes
  # A target folder serves one toolchain only: std of another compiler breaks what was compiled with the first.
  for folder in "$CACHE_DIR"/target-*; do
    [ "$folder" = "$CARGO_TARGET_DIR" ] || rm -rf "$folder"
  done
  [ -d "$CARGO_TARGET_DIR" ] || return 0
  megabytes=$(du -sm "$CARGO_TARGET_DIR" | cut -f1)
  if [ "$megabytes" -gt "$TARGET_CACHE_MEGABYTES_MAX" ]; then
    detail "the cache of compiled crates has $megabytes MB, more than $TARGET_CACHE_MEGABYTES_MAX: starting afresh"
    rm -rf "$CARGO_TARGET_DIR"
  fi
  # What is left by an app that no longer has that bin must not be taken for a result.
  rm -f "$CARGO_TARGET_DIR/$TARGET/release"/*.wasm
}

build_app() {
  local log="$CACHE_DIR/build.log" locked=() key status=0
  key=$("$RUSTC" -vV | cat - <(echo "$TOOLCHAIN") | sha256sum | cut -c1-12)
  export CARGO_HOME="$CACHE_DIR/cargo" CARGO_TARGET_DIR="$CACHE_DIR/target-$key" RUSTC
  export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never CARGO_INCREMENTAL=0
  # The path of the cache ends in panic messages of dependencies; the same app must give the same bytes anywhere.
  export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }--remap-path-prefix=$CARGO_HOME=/cargo"
  if [ -n "$TOOLCHAIN" ]; then # for crates with C code in them
    export CC_wasm32_wasip2="$TOOLCHAIN/bin/clang" AR_wasm32_wasip2="$TOOLCHAIN/bin/llvm-ar"
  fi
  copy_cargo_settings "$CARGO_HOME"
  bound_target_cache
  step "Building with cargo"
  if [ -f "$BUILD_DIR/Cargo.lock" ]; then
    locked=(--locked)
  else
    warning "There is no Cargo.lock: each build may pick other versions of the dependencies." "hint: commit Cargo.lock"
  fi
  (cd "$BUILD_DIR" && timeout "$BUILD_SECONDS_MAX" "$CARGO" build --release "${locked[@]}" --target "$TARGET") 2>&1 |
    tee "$log" | indent || status=${PIPESTATUS[0]}
  case $status in
    0) ;;
    124) fail "cargo was stopped after $BUILD_SECONDS_MAX seconds" "hint: what is compiled is kept, so another push goes on from there" ;;
    *) explain_failure "$log" ;;
  esac
  rm -f "$log"
}
