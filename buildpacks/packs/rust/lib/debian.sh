# Assembles a Rust toolchain for the target from Debian's packages, unpacked and not installed.
#
# rustup's toolchains usually hold the host's std only, and a matching std can be had nowhere else without a download site
# of Rust's own. Debian's rustc for browsers is a current compiler with its matching sources, so std is compiled once from those.
# Unpacking instead of installing needs no root and conflicts with nothing on the machine.

# The folder of the finished toolchain is printed on fd 3; everything else is build output.
assemble_debian_toolchain() {
  local recipe found lock
  mkdir -p "$DYNO_TOOLCHAIN_DIR"
  recipe=$(cat "$PACK"/toolchain.env "$PACK"/lib/debian.sh "$PACK"/libc/*.* "$PACK"/libc/include/*.h "$PACK"/libc/include/sys/*.h | sha256sum | cut -c1-8)
  exec {lock}>"$DYNO_TOOLCHAIN_DIR/.rust.lock"
  flock "$lock"
  # A finished folder of this recipe is used whatever Debian offers now: builds stay the same, and work offline.
  found=$(find -H "$DYNO_TOOLCHAIN_DIR" -maxdepth 1 -type d -name "rust-*-$recipe" | sort -V | tail -n 1)
  [ -n "$found" ] || assemble_new "$recipe"
  [ -n "$found" ] || found=$ASSEMBLED
  TOOLCHAIN=$found
  exec {lock}>&-
}

assemble_new() {
  local recipe=$1 tool started=$SECONDS
  for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || fail "this machine has no std for $TARGET, and no $tool to fetch one with" \
      "hint: rustup target add $TARGET"
  done
  rm -rf "$DYNO_TOOLCHAIN_DIR"/rust-*.partial
  WORK="$DYNO_TOOLCHAIN_DIR/rust-$recipe.partial"
  mkdir -p "$WORK"/apt/lists/partial "$WORK"/apt/cache/archives/partial "$WORK"/debs "$WORK"/tree
  fetch_package_lists
  choose_versions
  step "Assembling Rust $RUST_VERSION for $TARGET from Debian packages (once, about two minutes)"
  [ "$RUST_VERSION" = "$RUST_VERSION_TRIED" ] && [ "$LLVM_MAJOR" = "$LLVM_MAJOR_TRIED" ] ||
    detail "Debian now offers Rust $RUST_VERSION and LLVM $LLVM_MAJOR; this pack was tried with $RUST_VERSION_TRIED and $LLVM_MAJOR_TRIED"
  fetch_packages
  unpack_packages
  write_wrappers
  check_host_libraries
  build_libc
  build_std
  try_toolchain
  ASSEMBLED="$DYNO_TOOLCHAIN_DIR/rust-$RUST_VERSION-$recipe"
  mv -T "$WORK/tree" "$ASSEMBLED"
  rm -rf "$WORK"
  detail "done in $((SECONDS - started)) s"
}

# apt with lists and cache of our own: no root, no lock shared with the machine's apt, no trace in its state.
private_apt() {
  local program=$1
  shift
  timeout "$FETCH_SECONDS_MAX" "$program" -q -q -o Dir::State::lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt/cache" \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

fetch_package_lists() {
  # Not fatal by itself: a third party's source may be away while Debian's are there. What is missing shows below.
  private_apt apt-get update >"$WORK/apt.log" 2>&1 || true
}

candidate() { private_apt apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '(none)'; }

choose_versions() {
  local series package version
  version=$(candidate rustc-web) || missing_packages rustc-web
  RUST_VERSION=${version%%[+-]*}
  series=${RUST_VERSION%.*}
  LLVM_MAJOR=$(private_apt apt-cache depends "libstd-rust-web-$series" 2>/dev/null | sed -n 's/.*Depends: libllvm\([0-9][0-9]*\)$/\1/p' | head -n 1)
  [ -n "$LLVM_MAJOR" ] || missing_packages "libstd-rust-web-$series"
  RUST_PACKAGES=(rustc-web libstd-rust-web-dev "libstd-rust-web-$series" rust-web-llvm rust-web-src)
  LLVM_PACKAGES=("libllvm$LLVM_MAJOR" "lld-$LLVM_MAJOR" "clang-$LLVM_MAJOR" "libclang-cpp$LLVM_MAJOR"
    "libclang-common-$LLVM_MAJOR-dev" "llvm-$LLVM_MAJOR" "libclang-rt-$LLVM_MAJOR-dev-wasm32" wasi-libc)
  local missing=()
  for package in "${RUST_PACKAGES[@]}" "${LLVM_PACKAGES[@]}"; do
    candidate "$package" >/dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] || missing_packages "${missing[@]}"
  for package in "${RUST_PACKAGES[@]}"; do
    [ "$(candidate "$package")" = "$version" ] || fail "Debian's package $package is not at rustc-web's version $version" \
      "A std must match its compiler exactly; the mirror is probably between two updates." "hint: try again later, or: rustup target add $TARGET"
  done
}

missing_packages() {
  tail -n 5 "$WORK/apt.log" | indent
  fail "apt offers no package $*" \
    "The rust pack makes its $TARGET toolchain from Debian 12's packages rustc-web, libstd-rust-web-*, rust-web-*, clang, lld, llvm and wasi-libc (bookworm and bookworm-security)." \
    "hint: add those suites to apt's sources, or give rustup the target: rustup target add $TARGET"
}

fetch_packages() {
  detail "fetching $((${#RUST_PACKAGES[@]} + ${#LLVM_PACKAGES[@]})) packages"
  (cd "$WORK/debs" && private_apt apt-get download "${RUST_PACKAGES[@]}" "${LLVM_PACKAGES[@]}") >"$WORK/apt.log" 2>&1 || {
    tail -n 10 "$WORK/apt.log" | indent
    fail "apt could not download the packages of the Rust toolchain" "hint: look at the lines above; try again when the mirror answers"
  }
}

unpack_packages() {
  detail "unpacking"
  local tree="$WORK/tree" llvm="./usr/lib/llvm-$LLVM_MAJOR/bin"
  # Of two large packages only what is used: library sources, and two tools.
  (
    cd "$WORK/debs"
    dpkg-deb --fsys-tarfile rust-web-src_*.deb | tar -x -C "$tree" "./usr/src/rustc-$RUST_VERSION/library"
    dpkg-deb --fsys-tarfile "llvm-${LLVM_MAJOR}"_*.deb | tar -x -C "$tree" "$llvm/llvm-ar" "$llvm/llvm-objcopy" "$llvm/llvm-ranlib"
    rm rust-web-src_*.deb "llvm-${LLVM_MAJOR}"_*.deb
    printf '%s\0' *.deb | xargs -0 -P 2 -I{} dpkg-deb -x {} "$tree"
  ) || fail "a package of the Rust toolchain could not be unpacked" "hint: is the disk full? $(df -h "$WORK" | tail -n 1)"
  rm -rf "$WORK/debs" "$tree/usr/share"
  mkdir -p "$tree/usr/lib/rustlib/src"
  ln -s "../../../src/rustc-$RUST_VERSION" "$tree/usr/lib/rustlib/src/rust"
  # Where wasm-component-ld looks for its linker.
  ln -sf "../../../../lib/llvm-$LLVM_MAJOR/bin/lld" "$tree/usr/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/rust-lld"
  ln -s "wasm32-wasi" "$tree/usr/lib/wasm32-wasip1"
  ln -s "wasm32-wasi" "$tree/usr/include/wasm32-wasip1"
}

# Programs of the tree need its libraries; wrappers set that for them alone, and the tree stays movable.
write_wrappers() {
  local tree="$WORK/tree" name
  mkdir -p "$tree/bin"
  wrapper() { # wrapper NAME PROGRAM [ARGUMENTS AT THE END]
    cat >"$tree/bin/$1" <<SCRIPT
#!/bin/sh
# Runs $1 of this toolchain with the libraries it was unpacked with.
t=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
LD_LIBRARY_PATH="\$t/usr/lib/$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "\$t/usr/$2" "\$@" $3
SCRIPT
    chmod 755 "$tree/bin/$1"
  }
  wrapper rustc bin/rustc ""
  # The target comes last, so it wins over the one that build scripts of crates with C code pass.
  wrapper clang "lib/llvm-$LLVM_MAJOR/bin/clang" '--target=wasm32-wasip1 --sysroot="$t/usr" -isystem "$t/usr/include/dyno" -Wno-unused-command-line-argument'
  for name in llvm-ar llvm-objcopy llvm-ranlib; do wrapper "$name" "lib/llvm-$LLVM_MAJOR/bin/$name" ""; done
}

# Debian's libLLVM wants a few libraries that a small machine may lack.
check_host_libraries() {
  local missing
  missing=$(LD_LIBRARY_PATH="$WORK/tree/usr/lib/$(uname -m)-linux-gnu" ldd "$WORK/tree/usr/bin/rustc" "$WORK/tree/usr/lib/llvm-$LLVM_MAJOR/bin/clang" "$WORK/tree/usr/lib/llvm-$LLVM_MAJOR/bin/lld" |
    sed -n 's/^[[:space:]]*\([^ ]*\) => not found/\1/p' | sort -u | tr '\n' ' ')
  [ -z "$missing" ] || fail "the Rust toolchain needs libraries that this machine does not have: $missing" \
    "hint: apt-get install libz3-4 libedit2 libxml2 libffi8 libzstd1"
}

# libc.a for std: wasi-libc with the socket layer in place of its preview-1 members, and start objects.
build_libc() {
  detail "building the C library with sockets"
  local tree="$WORK/tree" objects="$WORK/objects" name libc contained
  libc="$tree/usr/lib/wasm32-wasi"
  contained="$tree/usr/lib/rustlib/$TARGET/lib/self-contained"
  mkdir -p "$objects" "$contained" "$tree/usr/include/dyno"
  cp -r "$PACK/libc/include/." "$tree/usr/include/dyno/"
  for name in socket_table tcp stream options poll netdb fdio threads_none realpath crt1_command crt1_reactor; do
    "$tree/bin/clang" -O2 -std=c17 -Wall -Wextra -DDYNO_P2_FLAGS -I"$PACK/libc" -c "$PACK/libc/$name.c" -o "$objects/dyno_$name.o" ||
      fail "the C library for Rust could not be compiled ($name.c)" "hint: this is a fault of the pack with LLVM $LLVM_MAJOR; rustup target add $TARGET avoids it"
  done
  "$tree/bin/llvm-objcopy" --add-section=component-type:dyno-sockets="$PACK/libc/sockets.component-type" "$objects/dyno_socket_table.o"
  mv "$objects/dyno_crt1_command.o" "$contained/crt1-command.o"
  mv "$objects/dyno_crt1_reactor.o" "$contained/crt1-reactor.o"
  cp "$libc/libc.a" "$contained/libc.a"
  "$tree/bin/llvm-ar" d "$contained/libc.a" read.o write.o readv.o writev.o close.o fcntl.o ioctl.o poll.o select.o pselect.o \
    fstat.o accept.o send.o recv.o shutdown.o getsockopt.o
  "$tree/bin/llvm-ar" rs "$contained/libc.a" "$objects"/dyno_*.o
}

# std from its own sources, as an empty crate's dependency. Backtraces are left out: wasm has none to take.
build_std() {
  detail "compiling std"
  local tree="$WORK/tree" crate="$WORK/std"
  mkdir -p "$crate/src"
  printf '' >"$crate/src/lib.rs"
  printf '%s\n' '[package]' 'name = "std-from-source"' 'version = "0.0.0"' 'edition = "2021"' '[workspace]' \
    '[profile.release]' 'panic = "abort"' 'codegen-units = 1' >"$crate/Cargo.toml"
  (
    cd "$crate"
    # Paths of this machine must not end in components: the same app gives the same bytes anywhere.
    export CARGO_HOME="$WORK/cargo" CARGO_TARGET_DIR="$crate/target" RUSTC="$tree/bin/rustc" RUSTC_BOOTSTRAP=1
    export RUSTFLAGS="--remap-path-prefix=$tree/usr/lib/rustlib/src/rust=/rustc/$RUST_VERSION --remap-path-prefix=$WORK/cargo=/cargo"
    unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER
    copy_cargo_settings "$CARGO_HOME"
    timeout "$STD_SECONDS_MAX" "$CARGO" build --release -Zbuild-std=std,panic_abort -Zbuild-std-features= --target "$TARGET"
  ) >"$WORK/std.log" 2>&1 || {
    tail -n 30 "$WORK/std.log" | indent
    fail "std could not be compiled for $TARGET" "hint: look at the lines above; rustup target add $TARGET avoids this step"
  }
  cp "$crate/target/$TARGET/release/deps"/lib*.rlib "$tree/usr/lib/rustlib/$TARGET/lib/"
  rm "$tree/usr/lib/rustlib/$TARGET/lib"/libstd_from_source-*.rlib
  rm -rf "$tree/usr/src" "$tree/usr/lib/rustlib/src"
}

# The finished toolchain must make a component: better a failed build now than one that fails for ever from the cache.
try_toolchain() {
  printf 'fn main() { println!("{:?}", std::env::args().next()); }\n' >"$WORK/try.rs"
  "$WORK/tree/bin/rustc" --edition 2021 --target "$TARGET" -O -o "$WORK/try.wasm" "$WORK/try.rs" >"$WORK/try.log" 2>&1 &&
    [ "$(head -c 8 "$WORK/try.wasm" | od -An -tx1 | tr -d ' ')" = 0061736d0d000100 ] || {
    tail -n 20 "$WORK/try.log" | indent
    fail "the Rust toolchain was assembled, but does not make components" "hint: rustup target add $TARGET"
  }
}
