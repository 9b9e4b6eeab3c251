// The Go buildpack's compile step: from a Go module to WASI components. Called by bin/compile.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// settingsRead are the config vars that change a build; the others stay out of it.
var settingsRead = []string{
	"GOFLAGS", "GOPROXY", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOSUMDB", "GOAUTH",
	"GO_INSTALL_PACKAGE_SPEC", "GO_LINKER_SYMBOL", "GO_LINKER_VALUE",
}

const settingBytesMax = 64 << 10

// build is one run of the buildpack.
type build struct {
	out         output
	dir         string // of the app
	scratch     string // temporary, outside of the app
	pack        string // this buildpack's folder
	adapter     string // the dyno binary
	settings    map[string]string
	environment []string
	replace     map[string]string // the overlay
}

func main() {
	out := output{os.Stdout}
	if err := run(out, os.Args[1:]); err != nil {
		fmt.Println()
		out.warn("%v", err)
		os.Exit(1)
	}
}

func run(out output, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: compile BUILD_DIR CACHE_DIR ENV_DIR")
	}
	b, err := prepare(out, args[0], args[1], args[2])
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	commands, err := readProcfile(filepath.Join(b.dir, "Procfile"))
	if err != nil {
		return err
	}
	specs, err := installSpecs(b.dir, b.settings)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(b.dir, "vendor", "modules.txt")); err == nil {
		b.out.step("Using the modules in vendor/")
	} else {
		b.out.step("Fetching modules")
	}
	programs, err := b.listPrograms(specs)
	if err != nil {
		return err
	}
	if commands == nil {
		p, err := defaultWeb(programs, b.dir)
		if err != nil {
			return err
		}
		commands = []command{{process: "web", line: "bin/" + p.name, words: []string{"bin/" + p.name}}}
		out.step("No Procfile, so the web process is %s", p.importPath)
	}
	chosen := make([]program, len(commands))
	for i, c := range commands {
		if chosen[i], err = find(programs, c.words[0]); err != nil {
			return fmt.Errorf("Procfile, process type %q: %w", c.process, err)
		}
	}
	if err := b.dependencies(chosen); err != nil {
		return err
	}
	processes, err := b.components(commands, chosen)
	if err != nil {
		return err
	}
	return writeManifest(b.dir, processes)
}

func prepare(out output, buildDir, cacheDir, envDir string) (*build, error) {
	dir, err := filepath.EvalSymlinks(buildDir)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if cacheDir, err = filepath.Abs(cacheDir); err != nil {
		return nil, err
	}
	b := &build{out: out, dir: dir, pack: os.Getenv("DYNO_BUILDPACK_DIR"), adapter: os.Getenv("DYNO"), settings: map[string]string{}}
	if b.pack == "" || b.adapter == "" {
		return nil, fmt.Errorf("DYNO and DYNO_BUILDPACK_DIR must be set")
	}
	for _, name := range settingsRead {
		if value := os.Getenv(name); value != "" {
			b.settings[name] = value
		}
		info, err := os.Stat(filepath.Join(envDir, name))
		if err != nil || !info.Mode().IsRegular() || info.Size() > settingBytesMax {
			continue
		}
		value, err := os.ReadFile(filepath.Join(envDir, name))
		if err != nil {
			return nil, err
		}
		b.settings[name] = strings.TrimSpace(string(value))
	}
	// The module cache is read-only by default, and then nobody but root can delete the app's cache directory.
	b.settings["GOFLAGS"] = strings.TrimSpace(b.settings["GOFLAGS"] + " -modcacherw")
	b.environment = os.Environ()
	for _, name := range settingsRead {
		if value, ok := b.settings[name]; ok {
			b.environment = append(b.environment, name+"="+value)
		}
	}
	b.environment = append(b.environment, "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOENV=off",
		"GOMODCACHE="+filepath.Join(cacheDir, "go", "mod"), "GOCACHE="+filepath.Join(cacheDir, "go", "build"))
	if err := b.makeScratch(filepath.Join(cacheDir, "go")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, ".dyno"), 0o755); err != nil {
		return nil, err
	}
	version, err := b.goOutput("env", "GOVERSION", "GOROOT")
	if err != nil {
		return nil, err
	}
	release, goroot, _ := strings.Cut(strings.TrimSpace(version), "\n")
	if err := checkRelease(release); err != nil {
		return nil, err
	}
	if b.replace, err = writeOverlay(goroot, filepath.Join(b.pack, "overlay"), filepath.Join(b.scratch, "std")); err != nil {
		return nil, fmt.Errorf("%s: %w\nhint: versions that work: %s", release, err, strings.Join(supportedReleases, ", "))
	}
	return b, nil
}

// makeScratch stays inside the cache, because a build may write nowhere else. What a killed build left is removed.
func (b *build) makeScratch(cacheDir string) error {
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return err
	}
	old, _ := filepath.Glob(filepath.Join(cacheDir, "scratch-*"))
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(dir)
		}
	}
	var err error
	if b.scratch, err = os.MkdirTemp(cacheDir, "scratch-"); err != nil {
		return err
	}
	b.environment = append(b.environment, "GOTMPDIR="+b.scratch)
	return nil
}

// goOutput runs the go command in the app's directory; what it says on the side is shown.
func (b *build) goOutput(args ...string) (string, error) {
	side := &indented{out: b.out}
	defer side.flush()
	c := exec.Command("go", args...)
	c.Dir, c.Env, c.Stderr = b.dir, b.environment, side
	text, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("go %s failed: %w", args[0], err)
	}
	return string(text), nil
}

func (b *build) dependencies(chosen []program) error {
	seen := map[string]bool{}
	var importPaths []string
	for _, p := range chosen {
		if !seen[p.importPath] {
			seen[p.importPath] = true
			importPaths = append(importPaths, p.importPath)
		}
	}
	sort.Strings(importPaths)
	return b.checkPackages(importPaths)
}

// components builds each process type's component; process types with the same program and arguments share one.
func (b *build) components(commands []command, chosen []program) ([]process, error) {
	made := map[string]string{}
	var processes []process
	for i, c := range commands {
		web := c.process == "web"
		shim := shimSource(web, c.words)
		key := fmt.Sprint(web, chosen[i].importPath, shim)
		component, ok := made[key]
		if !ok {
			component = ".dyno/" + c.process + ".wasm"
			if err := b.component(c.process, chosen[i], web, shim, component); err != nil {
				return nil, err
			}
			made[key] = component
		}
		processes = append(processes, process{c, component})
	}
	return processes, nil
}

func (b *build) component(name string, p program, web bool, shim, target string) error {
	b.out.step("Compiling %s (%s)", name, p.importPath)
	start := time.Now()
	replace := map[string]string{}
	for path, file := range b.replace {
		replace[path] = file
	}
	if shim != "" {
		file := filepath.Join(b.scratch, name+"_"+shimFile)
		if err := os.WriteFile(file, []byte(shim), 0o644); err != nil {
			return err
		}
		replace[filepath.Join(p.dir, shimFile)] = file
	}
	overlay, module := filepath.Join(b.scratch, name+".json"), filepath.Join(b.scratch, name+".wasm")
	if err := writeOverlayFile(overlay, replace); err != nil {
		return err
	}
	ldflags := "-s -w"
	if symbol := b.settings["GO_LINKER_SYMBOL"]; symbol != "" {
		ldflags += fmt.Sprintf(" '-X=%s=%s'", symbol, b.settings["GO_LINKER_VALUE"])
	}
	args := []string{"build", "-overlay", overlay, "-trimpath", "-buildvcs=false", "-ldflags=" + ldflags, "-o", module}
	world := "worker"
	if web {
		args, world = append(args, "-buildmode=c-shared"), "web"
	}
	if err := b.tool("go", append(args, p.importPath)...); err != nil {
		return fmt.Errorf("%s was not compiled: %w", p.importPath, err)
	}
	// Without realloc by memory.grow the adapter would call into Go before its runtime is up.
	err := b.tool(b.adapter, "component", "adapt", "--world", world, "--realloc-via-memory-grow", module, "-o", filepath.Join(b.dir, target))
	if err != nil {
		return fmt.Errorf("%s was not made a component: %w", p.importPath, err)
	}
	info, err := os.Stat(filepath.Join(b.dir, target))
	if err != nil {
		return err
	}
	b.out.detail("%s, %.1f MB, %.1f s", target, float64(info.Size())/1e6, time.Since(start).Seconds())
	return os.Remove(module)
}

func (b *build) tool(name string, args ...string) error {
	shown := &indented{out: b.out}
	defer shown.flush()
	c := exec.Command(name, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = b.dir, b.environment, shown, shown
	return c.Run()
}
