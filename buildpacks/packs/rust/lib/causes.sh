# Crates that cannot be compiled to WASI, and what serves in their place.

# explain_failure LOG: names the known cause of a failed cargo build, then ends the build.
explain_failure() {
  local log=$1 crate failed reason
  failed=$(tail -n "$LOG_LINES_SEARCHED_MAX" "$log" |
    sed -n -e 's/^error: could not compile `\([A-Za-z0-9_-]*\)`.*/\1/p' -e 's/^error: failed to run custom build command for `\([A-Za-z0-9_-]*\) .*/\1/p' | sort -u | head -n 10)
  if grep -q -- '--locked was passed' "$log"; then
    fail "Cargo.lock does not agree with Cargo.toml" "hint: run cargo update --workspace, then commit Cargo.lock"
  fi
  for crate in $failed; do
    reason=$(reason_for "$crate")
    if [ -n "$reason" ]; then
      fail "the crate $crate cannot be compiled to WASI" "$reason" "It is in the app because of:" "$(who_wants "$crate")"
    fi
  done
  if grep -q "features sync,macros,io-util,rt,time are supported on wasm" "$log"; then
    fail "the crate tokio cannot be compiled to WASI with the features asked for" "$(reason_for tokio)" "$(who_wants tokio)"
  fi
  fail "cargo build failed" "hint: the compiler's messages are above; the same build runs on your machine with: cargo build --release --target $TARGET"
}

# Each answer is one or two sentences, the last a hint.
reason_for() {
  case $1 in
    openssl-sys | openssl) echo "It wraps a C library that does not exist for WASI. hint: send HTTPS through the platform with wstd's http client; it does the TLS" ;;
    native-tls | security-framework | schannel) echo "It uses the operating system's TLS. hint: send HTTPS through the platform with wstd's http client" ;;
    ring | aws-lc-sys | aws-lc-rs | boring-sys) echo "It holds assembly and C for other machines. hint: use pure Rust (sha2, hmac, ed25519-dalek, rustls-rustcrypto), or wstd's http client for HTTPS" ;;
    mio | socket2 | polling | async-io) echo "It needs an operating system's event queue. hint: use wstd's runtime and wstd::net, or std::net" ;;
    tokio) echo "On WASI tokio has the features sync, macros, io-util, rt and time only. hint: default-features = false with those; serve HTTP by wstd's #[wstd::http_server] instead of a TcpListener" ;;
    hyper-util | reqwest | hyper | axum-server | actix-rt | actix-server) echo "It needs tokio's network. hint: serve with #[wstd::http_server] (axum's Router works under it without its tokio feature), call out with wstd's http client" ;;
    libpq-sys | pq-sys | mysqlclient-sys) echo "It wraps a C client library. hint: use a client in pure Rust over std::net, such as the crate postgres-protocol" ;;
    libsqlite3-sys | rocksdb | librocksdb-sys | libgit2-sys | libz-sys | zstd-sys | bzip2-sys | lzma-sys) echo "It compiles C or C++ that this toolchain could not. hint: look for a pure-Rust crate (flate2 with rust_backend, redb, ruzstd)" ;;
    rayon-core | rayon | crossbeam-utils) echo "It wants threads, and WASI has none. hint: work sequentially; dynos scale out instead" ;;
    signal-hook | signal-hook-registry | nix | ctrlc) echo "It wraps Unix calls that WASI lacks. hint: leave it out for this target with [target.'cfg(not(target_family = \"wasm\"))'.dependencies]" ;;
    getrandom) echo "This version does not know the target. hint: cargo update -p getrandom (0.2.15, 0.3 and later do)" ;;
    wasm-bindgen | js-sys | web-sys) echo "It is for browsers. hint: build a wasi:http handler with wstd instead" ;;
  esac
}

# who_wants CRATE: the path of dependencies that leads to it.
who_wants() {
  (cd "$BUILD_DIR" && timeout 60 "$CARGO" tree --target "$TARGET" --locked --offline -i "$1" --depth 3 2>/dev/null | head -n 8) || true
}
