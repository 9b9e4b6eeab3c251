#!/usr/bin/env bash
# Makes hello.wasm from hello.c with Debian's clang and wasi-libc, unpacked into a temporary folder and not installed.
set -euo pipefail
cd "$(dirname "$0")"
llvm=22
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
(cd "$tools" && apt-get -q -o APT::Sandbox::User="$(id -un)" download "clang-$llvm" "libclang-cpp$llvm" "libclang-common-$llvm-dev" "libllvm$llvm" "lld-$llvm" \
  "libclang-rt-$llvm-dev-wasm32" wasi-libc && for package in *.deb; do dpkg-deb -x "$package" .; done)
# clang looks for a folder named after the target.
ln -s wasm32-wasi "$tools/usr/include/wasm32-wasip1"
ln -s wasm32-wasi "$tools/usr/lib/wasm32-wasip1"
PATH="$tools/usr/bin:$PATH" LD_LIBRARY_PATH="$tools/usr/lib/$(uname -m)-linux-gnu" "$tools/usr/lib/llvm-$llvm/bin/clang" --target=wasm32-wasip1 --sysroot="$tools/usr" \
  -mexec-model=reactor -std=gnu17 -Os -Wall -Wextra -Wl,--gc-sections,--strip-all -o hello.wasm hello.c
ls -l hello.wasm
