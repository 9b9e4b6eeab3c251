// Writes what a build leaves for the slug compiler: process types and the release step.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const packVersion = "0.1.0"

// process is one finished process type.
type process struct {
	command
	component string // relative to the build directory
}

func (p process) isWeb() bool { return p.process == "web" }

// quote makes a TOML basic string; JSON's escapes are a subset of TOML's.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

func processTypesTOML(processes []process) string {
	var b strings.Builder
	fmt.Fprintf(&b, "format = 1\n\n[buildpack]\nname = \"go\"\nversion = %s\n", quote(packVersion))
	for _, p := range processes {
		world, arguments := "wasi:cli/command@0.2", make([]string, len(p.words))
		for i, w := range p.words {
			arguments[i] = quote(strings.ReplaceAll(w, literalDollar, "$"))
		}
		if p.isWeb() {
			world, arguments = "wasi:http/proxy@0.2", nil // the shim knows them
		}
		fmt.Fprintf(&b, "\n[process.%s]\ncomponent = %s\nworld = %s\narguments = [%s]\nboot = \"start\"\n",
			p.process, quote(p.component), quote(world), strings.Join(arguments, ", "))
		if p.isWeb() {
			b.WriteString("reuse = \"instance\"\n")
		}
		if len(p.environment) > 0 {
			fmt.Fprintf(&b, "[process.%s.environment]\n", p.process)
			set := map[string]string{}
			var names []string
			for _, pair := range p.environment {
				if _, again := set[pair[0]]; !again {
					names = append(names, pair[0])
				}
				set[pair[0]] = pair[1]
			}
			sort.Strings(names)
			for _, name := range names {
				fmt.Fprintf(&b, "%s = %s\n", name, quote(set[name]))
			}
		}
	}
	return b.String()
}

// releaseYAML is what bin/release prints. Default process types matter only where there is no Procfile.
func releaseYAML(processes []process) string {
	var b strings.Builder
	b.WriteString("addons: []\nconfig_vars: {}\ndefault_process_types:\n")
	for _, p := range processes {
		fmt.Fprintf(&b, "  %s: %s\n", p.process, quote(p.line))
	}
	return b.String()
}

func writeManifest(buildDir string, processes []process) error {
	dir := filepath.Join(buildDir, ".dyno")
	if err := os.WriteFile(filepath.Join(dir, "process-types.toml"), []byte(processTypesTOML(processes)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "release.yml"), []byte(releaseYAML(processes)), 0o644)
}
