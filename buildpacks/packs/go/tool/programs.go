// Finds the main packages of the app and tells which of them a Procfile line means.

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// program is one main package.
type program struct {
	importPath string
	dir        string
	name       string // of the binary `go install` would make
}

var majorVersion = regexp.MustCompile(`^v[2-9][0-9]*$|^v1[0-9]+$`)

// binaryName is the last element of the import path that is not a major version.
func binaryName(importPath string) string {
	name := path.Base(importPath)
	if majorVersion.MatchString(name) && strings.Contains(importPath, "/") {
		name = path.Base(path.Dir(importPath))
	}
	return name
}

// installSpecs returns the packages to look at: Heroku's setting, the comment in go.mod, or everything.
func installSpecs(buildDir string, settings map[string]string) ([]string, error) {
	if spec := strings.Fields(settings["GO_INSTALL_PACKAGE_SPEC"]); len(spec) > 0 {
		return spec, nil
	}
	text, err := os.ReadFile(filepath.Join(buildDir, "go.mod"))
	if err != nil {
		return nil, err
	}
	scan := bufio.NewScanner(bytes.NewReader(text))
	for scan.Scan() {
		words := strings.Fields(strings.TrimLeft(strings.TrimSpace(scan.Text()), "/ \t"))
		if strings.HasPrefix(strings.TrimSpace(scan.Text()), "//") && len(words) > 2 && words[0] == "+heroku" && words[1] == "install" {
			return words[2:], nil
		}
	}
	return []string{"./..."}, scan.Err()
}

// listPrograms asks the go command for the main packages.
func (b *build) listPrograms(specs []string) ([]program, error) {
	args := append([]string{"list", "-e", "-find", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{"\t"}}{{.Dir}}{{end}}`}, specs...)
	text, err := b.goOutput(args...)
	if err != nil {
		return nil, err
	}
	var programs []program
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		importPath, dir, ok := strings.Cut(line, "\t")
		if ok && dir != "" {
			programs = append(programs, program{importPath, dir, binaryName(importPath)})
		}
	}
	if len(programs) == 0 {
		return nil, fmt.Errorf("no main package found in %s\nhint: name it in go.mod: // +heroku install ./cmd/server", strings.Join(specs, " "))
	}
	sort.Slice(programs, func(i, j int) bool { return programs[i].importPath < programs[j].importPath })
	return programs, nil
}

// find returns the program that a command line starts: "bin/app", "./app", "/app/bin/app", "$HOME/bin/app" or "app".
func find(programs []program, word string) (program, error) {
	name := path.Base(word)
	var found []program
	for _, p := range programs {
		if p.name == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return program{}, fmt.Errorf("%q is not a main package of this module, and a dyno can start nothing else\nit has: %s",
			word, strings.Join(names(programs), ", "))
	default:
		return program{}, fmt.Errorf("%q may mean several main packages: %s\nhint: say which in go.mod: // +heroku install %s",
			word, found[0].importPath+", "+found[1].importPath, found[0].importPath)
	}
}

func names(programs []program) []string {
	list := make([]string, len(programs))
	for i, p := range programs {
		list[i] = p.name
	}
	return list
}

// defaultWeb picks the web program where there is no Procfile: the only one, the module's root, or one called so.
func defaultWeb(programs []program, buildDir string) (program, error) {
	if len(programs) == 1 {
		return programs[0], nil
	}
	for _, p := range programs {
		if filepath.Clean(p.dir) == filepath.Clean(buildDir) {
			return p, nil
		}
	}
	for _, wanted := range []string{"web", "server"} {
		for _, p := range programs {
			if p.name == wanted {
				return p, nil
			}
		}
	}
	return program{}, fmt.Errorf("which main package serves the web? There are %s\nhint: add a Procfile: web: bin/%s",
		strings.Join(names(programs), ", "), programs[0].name)
}

// === packages that cannot work ===

// instead tells what to use in place of well-known packages that need C.
var instead = map[string]string{
	"github.com/mattn/go-sqlite3":                "a Postgres add-on with github.com/jackc/pgx/v5 or github.com/lib/pq",
	"github.com/confluentinc/confluent-kafka-go": "github.com/segmentio/kafka-go or github.com/twmb/franz-go",
	"github.com/DataDog/zstd":                    "github.com/klauspost/compress/zstd",
	"github.com/valyala/gozstd":                  "github.com/klauspost/compress/zstd",
	"github.com/h2non/bimg":                      "github.com/disintegration/imaging or golang.org/x/image",
	"github.com/davidbyttow/govips":              "github.com/disintegration/imaging or golang.org/x/image",
	"gopkg.in/gographics/imagick.v3":             "github.com/disintegration/imaging or golang.org/x/image",
	"github.com/libgit2/git2go":                  "github.com/go-git/go-git/v5",
	"github.com/linxGNU/grocksdb":                "a Postgres or Redis add-on",
	"github.com/tecbot/gorocksdb":                "a Postgres or Redis add-on",
	"github.com/godror/godror":                   "github.com/sijms/go-ora/v2",
	"github.com/rogchap/v8go":                    "github.com/dop251/goja",
	"modernc.org/sqlite":                         "a Postgres add-on with github.com/jackc/pgx/v5 or github.com/lib/pq",
	"github.com/glebarez/sqlite":                 "a Postgres add-on with gorm.io/driver/postgres",
	"gorm.io/driver/sqlite":                      "a Postgres add-on with gorm.io/driver/postgres",
	"github.com/mattn/go-oci8":                   "github.com/sijms/go-ora/v2",
	"github.com/shirou/gopsutil":                 "package runtime: a dyno cannot see its host's processes",
	"github.com/quic-go/quic-go":                 "plain HTTP: the router speaks HTTP/2 and TLS for the app",
}

// stubsOnly are packages that compile without C and then fail at run time.
var stubsOnly = map[string]bool{"github.com/mattn/go-sqlite3": true}

func replacement(importPath string) (string, bool) {
	for p := importPath; p != "." && p != "/"; p = path.Dir(p) {
		if text, ok := instead[p]; ok {
			return text, true
		}
	}
	return "", false
}

type listedPackage struct {
	ImportPath     string
	Dir            string
	Standard       bool
	IgnoredGoFiles []string
	Error          *struct{ Err string }
}

// checkPackages downloads what the programs need and names packages that cannot work in WebAssembly.
func (b *build) checkPackages(importPaths []string) error {
	args := append([]string{"list", "-e", "-deps", "-json=ImportPath,Dir,Standard,IgnoredGoFiles,Error"}, importPaths...)
	text, err := b.goOutput(args...)
	if err != nil {
		return err
	}
	var problems []string
	decode := json.NewDecoder(strings.NewReader(text))
	for {
		var p listedPackage
		if err := decode.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("go list answered with something unexpected: %w", err)
		}
		if p.Standard && p.Error == nil {
			continue
		}
		advice, _ := replacement(p.ImportPath)
		switch {
		case p.Error == nil && stubsOnly[p.ImportPath]:
			b.out.warn("%s needs C and will fail when it is used.\nUse %s instead.", p.ImportPath, advice)
		case p.Error == nil:
		case strings.Contains(p.Error.Err, "build constraints exclude all Go files"):
			reason := "has no code for WebAssembly (GOOS=wasip1 GOARCH=wasm)"
			if importsC(p) {
				reason = "needs cgo (C code), which WebAssembly builds do not have"
			}
			problem := fmt.Sprintf("%s %s", p.ImportPath, reason)
			if advice != "" {
				problem += "\n  use instead: " + advice
			}
			problems = append(problems, problem)
		default:
			problems = append(problems, p.ImportPath+": "+p.Error.Err)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(problems, "\n"))
}

var importC = regexp.MustCompile(`(?m)^\s*(import\s+)?"C"\s*$`)

func importsC(p listedPackage) bool {
	for _, name := range p.IgnoredGoFiles {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err == nil && importC.Match(text) {
			return true
		}
	}
	return false
}
