# Finds the machine's own cargo, and its own std for the target if it has one.

# Sets CARGO and RUSTC_HOST to real programs, never to rustup's proxies: a proxy would obey the app's rust-toolchain.toml
# and try to fetch that toolchain in the middle of a build. HOME is private here, so rustup's folder is looked for
# beside the proxy as well.
find_machine_rust() {
  local cargo_path folder
  cargo_path=$(command -v cargo) || fail "cargo was not found on this machine" \
    "hint: install Rust (https://rustup.rs), or Debian's package cargo"
  CARGO=$cargo_path
  RUSTC_HOST=$(command -v rustc || true)
  [ "$(basename "$(readlink -f "$cargo_path")")" = rustup ] || return 0
  for folder in "${RUSTUP_HOME:-}" "$(dirname "$(dirname "$cargo_path")")/../.rustup" "$HOME/.rustup" /usr/local/rustup; do
    [ -n "$folder" ] && [ -d "$folder/toolchains" ] || continue
    choose_rustup_toolchain "$folder" && return 0
  done
  fail "rustup is on this machine, but no toolchain of it was found" "hint: rustup default stable"
}

# choose_rustup_toolchain RUSTUP_HOME: the app's own channel when it is installed, else rustup's default, else any.
choose_rustup_toolchain() {
  local home=$1 host name folder
  host=$(uname -m)-unknown-linux-gnu
  for name in "${APP_CHANNEL:-}" "$(sed -n 's/^default_toolchain *= *"\(.*\)"/\1/p' "$home/settings.toml" 2>/dev/null)" stable; do
    [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || continue
    for folder in "$home/toolchains/$name" "$home/toolchains/$name-$host"; do
      [ -x "$folder/bin/cargo" ] && [ -x "$folder/bin/rustc" ] || continue
      CARGO=$(readlink -f "$folder")/bin/cargo
      RUSTC_HOST=$(readlink -f "$folder")/bin/rustc
      return 0
    done
  done
  for folder in "$home"/toolchains/*; do
    [ -x "$folder/bin/cargo" ] && [ -x "$folder/bin/rustc" ] || continue
    CARGO=$folder/bin/cargo
    RUSTC_HOST=$folder/bin/rustc
    return 0
  done
  return 1
}

# Whether the machine's rustc has a std for the target.
machine_has_target() {
  local sysroot
  [ -n "$RUSTC_HOST" ] && sysroot=$("$RUSTC_HOST" --print sysroot 2>/dev/null) || return 1
  compgen -G "$sysroot/lib/rustlib/$TARGET/lib/libstd-*.rlib" >/dev/null
}

# Sets APP_CHANNEL to what the app's rust-toolchain file asks for, or to nothing.
read_app_channel() {
  local file
  APP_CHANNEL=
  for file in rust-toolchain.toml rust-toolchain; do
    [ -f "$BUILD_DIR/$file" ] || continue
    APP_CHANNEL=$(head -c 4096 "$BUILD_DIR/$file" | sed -n 's/^[[:space:]]*channel[[:space:]]*=[[:space:]]*["'\'']\([A-Za-z0-9._-]*\)["'\''].*/\1/p' | head -n 1)
    # The old form is the channel alone on a line.
    [ -n "$APP_CHANNEL" ] || APP_CHANNEL=$(head -c 200 "$BUILD_DIR/$file" | sed -n '1s/^\([A-Za-z0-9._-]*\)[[:space:]]*$/\1/p')
    return 0
  done
}
