# Makes the toolchain once per version: the npm packages that builds use, and the base component.

find_node() {
  command -v node >/dev/null && command -v npm >/dev/null ||
    fail "Node.js $NODE_BUILD_VERSION_MIN or newer with npm is needed to build Node.js apps, and none was found" \
      "hint: install it, on Debian: apt-get install nodejs npm"
  local major
  major=$(node -p 'process.versions.node.split(".")[0]')
  ((major >= NODE_BUILD_VERSION_MIN)) ||
    fail "Node.js $NODE_BUILD_VERSION_MIN or newer is needed to build, and this machine has $(node --version)" \
      "hint: install a newer one"
}

digest_of() {
  (cd "$pack_dir" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# Sets tools to a folder with the pinned packages in node_modules.
make_tools() {
  tools=$toolchain_root/nodejs-tools-$(digest_of package.json package-lock.json)
  [[ ! -d $tools ]] || return 0
  exec 9>"$toolchain_root/.nodejs.lock"
  flock 9
  if [[ ! -d $tools ]]; then
    header "Fetching the Node.js toolchain (once per version)"
    local work=$toolchain_root/.nodejs-tools-work
    rm -rf "$work"
    mkdir -p "$work"
    cp "$pack_dir/package.json" "$pack_dir/package-lock.json" "$work/"
    # esbuild runs without its install script: its native program is a package of its own.
    quietly npm ci --prefix "$work" --ignore-scripts --include=optional ||
      fail "the toolchain's packages could not be downloaded" "hint: is the package registry reachable? (npm config get registry)"
    mv "$work" "$tools"
  fi
  exec 9>&-
}

# Sets base to the base component; another runtime or another version is another folder.
make_base() {
  local home
  home=$toolchain_root/nodejs-$NODE_EMULATED_VERSION-$(digest_of runtime wit build/build-base.mjs build/componentize.mjs \
    build/core-imports.mjs package-lock.json toolchain.env)
  base=$home/base.wasm
  [[ ! -f $base ]] || return 0
  exec 9>"$toolchain_root/.nodejs.lock"
  flock 9
  if [[ ! -f $base ]]; then
    header "Preparing Node.js $NODE_EMULATED_VERSION for WebAssembly (once per version)"
    local work=$toolchain_root/.nodejs-work
    rm -rf "$work"
    mkdir -p "$work"
    NODE_EMULATED_VERSION=$NODE_EMULATED_VERSION quietly node "$pack_dir/build/build-base.mjs" "$tools" "$work/base.wasm" ||
      fail "the Node.js base component could not be built" "hint: the messages above are the toolchain's"
    mv "$work" "$home"
  fi
  exec 9>&-
}
