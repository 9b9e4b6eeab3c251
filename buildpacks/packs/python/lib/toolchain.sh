# Makes the toolchain once per version: the base component, the standard library, a pinned pip.

# Sets host_python to a Python that can run pip and the pack's scripts.
find_host_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys, tomllib, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      host_python=$(command -v "$candidate")
      return
    fi
  done
  fail "Python 3.11 or newer with pip is needed to build Python apps, and none was found" \
    "hint: install it, on Debian: apt-get install python3 python3-pip python3-venv"
}

# What the toolchain is made of: another shim or another version is another folder.
toolchain_key() {
  (
    cd "$pack_dir"
    find shim wit lib/snapshot_module.py lib/toolchain.sh toolchain.env -type f \
      ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  ) | sha256sum | cut -c1-12
}

# Sets toolchain to the finished folder; concurrent builds wait for the one that makes it.
make_toolchain() {
  toolchain=$toolchain_root/python-$CPYTHON_VERSION-$(toolchain_key)
  if [[ -f $toolchain/base.wasm ]]; then
    return
  fi
  exec 9>"$toolchain_root/.python.lock"
  flock 9
  if [[ ! -f $toolchain/base.wasm ]]; then
    header "Preparing Python $CPYTHON_VERSION for WebAssembly (once per version)"
    build_toolchain
  fi
  exec 9>&-
}

build_toolchain() {
  local work=$toolchain_root/.python-work
  rm -rf "$work"
  mkdir -p "$work/tools" "$work/componentize" "$work/stdlib" "$work/shim"
  detail "Downloading componentize-py $COMPONENTIZE_PY_VERSION and pip $PIP_VERSION"
  quietly "$host_python" -m pip install --no-compile --target "$work/tools" "pip==$PIP_VERSION" ||
    fail "pip $PIP_VERSION could not be downloaded" "hint: is the package index reachable? (PIP_INDEX_URL)"
  quietly "$host_python" -m pip install --no-compile --target "$work/componentize" \
    "componentize-py==$COMPONENTIZE_PY_VERSION" ||
    fail "componentize-py $COMPONENTIZE_PY_VERSION could not be downloaded" \
      "hint: is the package index reachable, and does it have a wheel for this machine?"
  detail "Building the base component"
  cp -R "$pack_dir/shim/." "$work/shim/"
  find "$work/shim" -name __pycache__ -prune -exec rm -rf {} +
  "$host_python" "$pack_dir/lib/snapshot_module.py" "$work/shim"
  # The shim copies the standard library into the folder `stdlib` while it is componentized: inside
  # the tool it exists only as an archive in a native module.
  (
    cd "$work"
    PYTHONPATH=$work/componentize quietly "$host_python" -c 'from componentize_py import script; script()' \
      -q -d "$pack_dir/wit" -w python componentize dyno_guest -p shim -p stdlib -o base.wasm
  ) || fail "the Python base component could not be built" "hint: the messages above are componentize-py's"
  [[ -f $work/stdlib/os.py ]] || fail "the standard library was not found inside componentize-py"
  rm -rf "$work/componentize" "$work/shim" "$work/tools/bin"
  find "$work/tools" -name __pycache__ -prune -exec rm -rf {} +
  mv "$work" "$toolchain"
}
