# What detect and compile both need to know: which wasm file a process type runs.

# Prints "TYPE<tab>COMMAND" for each Procfile line of the app in $1 whose command begins with an existing .wasm file.
wasm_processes() {
  local build_dir=$1 line type command file
  [[ -f $build_dir/Procfile ]] || return 0
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    [[ $line =~ ^([A-Za-z0-9_-]+):[[:space:]]*(.*[^[:space:]])[[:space:]]*$ ]] || continue
    type=${BASH_REMATCH[1]} command=${BASH_REMATCH[2]}
    file=${command%%[[:space:]]*}
    if [[ $file == *.wasm ]] && is_inside "$file" && [[ -f $build_dir/$file ]]; then
      printf '%s\t%s\n' "$type" "$command"
    fi
  done <"$build_dir/Procfile"
}

# Prints the name of the only .wasm file at the root of the app in $1, if there is exactly one.
only_wasm_file() {
  local files=("$1"/*.wasm)
  if ((${#files[@]} == 1)) && [[ -f ${files[0]} ]]; then
    basename "${files[0]}"
  fi
}

# Whether a path of the Procfile stays in the app.
is_inside() {
  [[ $1 != /* && "/$1/" != */../* ]]
}
