# Installs an app's packages, runs its build script, and takes out what only the build needed.

# A field of package.json by a JavaScript expression over `p`; empty when it is not there.
manifest() { node -p "const p = JSON.parse(require('fs').readFileSync('package.json', 'utf8')); ($1) ?? ''"; }

# Config vars are there for install and build scripts, as on Heroku.
with_config() {
  (
    if [[ -n $env_dir && -d $env_dir ]]; then
      local file name
      for file in "$env_dir"/*; do
        name=${file##*/}
        [[ -f $file && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || continue
        case $name in PATH | HOME | LD_* | NODE_OPTIONS | GIT_DIR | PORT | DYNO*) continue ;; esac
        export "$name=$(cat "$file")"
      done
    fi
    "$@"
  )
}

install_packages() {
  header "Installing dependencies"
  local kind
  for kind in yarn.lock pnpm-lock.yaml bun.lockb bun.lock; do
    if [[ -f $kind && ! -f package-lock.json && ! -f npm-shrinkwrap.json ]]; then
      warn "$kind is not read: packages are installed by npm from package.json alone." \
        "hint: npm install --package-lock-only, and commit package-lock.json"
    fi
  done
  if [[ -f package-lock.json || -f npm-shrinkwrap.json ]]; then
    detail "Installing node modules (npm ci)"
    with_config quietly npm ci --include=dev --prefer-offline ||
      fail "npm ci failed" "hint: if package.json and the lock file disagree, run npm install and commit package-lock.json"
  elif [[ -n $(manifest '["dependencies", "devDependencies", "optionalDependencies"].some((k) => Object.keys(p[k] ?? {}).length) || ""') ]]; then
    warn "there is no package-lock.json: two builds may get different packages." "hint: commit the package-lock.json that npm install writes"
    detail "Installing node modules (npm install)"
    with_config quietly npm install --include=dev --no-package-lock --prefer-offline || fail "npm install failed" "hint: the messages above are npm's"
  else
    detail "The app has no dependencies"
  fi
}

# The named scripts of package.json, those that there are.
run_scripts() {
  local script
  for script in "$@"; do
    [[ -n $(manifest "p.scripts?.['$script']") ]] || continue
    # heroku-postbuild stands in for build.
    [[ $script == build && -n $(manifest "p.scripts?.['heroku-postbuild']") ]] && continue
    header "Build"
    detail "Running $script"
    with_config npm run --silent "$script" 2>&1 | sed -u 's/^/       /' ||
      fail "the script \"$script\" of package.json failed" "hint: run it locally: npm run $script"
  done
}

prune_packages() {
  # npm's own record holds addresses and is of no use in a dyno.
  if [[ -n $(manifest 'Object.keys(p.devDependencies ?? {}).length || ""') ]]; then
    header "Pruning devDependencies"
    quietly npm prune --omit=dev --ignore-scripts --no-package-lock || fail "npm prune failed" "hint: the messages above are npm's"
  fi
  rm -rf node_modules/.package-lock.json node_modules/.cache
  local count
  count=$( (find node_modules -name package.json -not -path '*/test/*' 2>/dev/null || true) | wc -l)
  detail "$count packages stay"
}
