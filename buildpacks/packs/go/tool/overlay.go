// Patches the standard library of one Go release for wasi and writes the overlay that `go build -overlay` takes.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// supportedReleases are the Go releases whose sources the patches were made for and tested with.
var supportedReleases = []string{"1.26", "1.27"}

// change replaces old, which must occur exactly once, by new.
type change struct{ old, new string }

// patch holds the changes of one file of the standard library, named from GOROOT/src.
type patch struct {
	file    string
	changes []change
}

// after inserts text behind something that occurs exactly once.
func after(anchor, text string) change { return change{anchor, anchor + text} }

// divert makes a method of fakeNetFD answer with the outbound connection's, where there is one.
func divert(head, call string) change {
	return after(head, "\n\tif ffd.wasi != nil {\n\t\treturn "+call+"\n\t}")
}

// memory: Go takes every page of linear memory for its own, but the preview-1 adapter grows the memory too, for its stack
// and state. Unpatched, both write to the same pages and the heap breaks once it needs more than its first megabytes.
var memory = patch{"runtime/mem_wasm.go", []change{{
	"\tbl := bloc\n\tn = memRound(n)\n",
	"\tn = memRound(n)\n" +
		"\tif end := uintptr(currentMemory()) * physPageSize; end > blocMax {\n" +
		"\t\tbloc, blocMax = end, end // somebody else grew the memory: go on behind them\n" +
		"\t}\n" +
		"\tbl := bloc\n",
}}}

// idle: preview 1's poll_oneoff cannot see wasi:io pollables, so package net's poller sleeps in the scheduler until no
// goroutine can run, and then blocks for all of them.
var idle = patch{"runtime/lock_wasip1.go", []change{
	{"package runtime\n", "package runtime\n\nimport \"unsafe\"\n"},
	{"func beforeIdle(int64, int64) (*g, bool) {\n\treturn nil, false\n}", `// Package net's poller of wasi:io pollables sleeps here until no goroutine can run.
var (
	dynoPoller  guintptr // parked, or 0
	dynoWaiters int
	dynoUntil   int64
)

//go:linkname dynoWaiting
func dynoWaiting(n int) { dynoWaiters = n }

//go:linkname dynoPark
func dynoPark() int64 {
	gopark(func(gp *g, _ unsafe.Pointer) bool { dynoPoller.set(gp); return true }, nil, waitReasonIOWait, traceBlockNet, 1)
	if dynoUntil == 0 {
		return -1
	}
	return max(dynoUntil-nanotime(), 0)
}

func beforeIdle(now, pollUntil int64) (*g, bool) {
	gp := dynoPoller.ptr()
	if gp == nil || dynoWaiters == 0 {
		return nil, false
	}
	dynoPoller = 0
	dynoUntil = pollUntil
	return gp, false
}`},
}}

// connections: the in-process network stays for listeners; a dial that finds none leaves through wasi:sockets.
var connections = patch{"net/net_fake.go", []change{
	after("type fakeNetFD struct {", "\n\twasi *wasiConn // set when the connection leaves the process\n"),
	divert("func (ffd *fakeNetFD) Read(p []byte) (n int, err error) {", "ffd.wasi.Read(p)"),
	divert("func (ffd *fakeNetFD) Write(p []byte) (nn int, err error) {", "ffd.wasi.Write(p)"),
	divert("func (ffd *fakeNetFD) closeRead() error {", "ffd.wasi.shutdown(0)"),
	divert("func (ffd *fakeNetFD) closeWrite() error {", "ffd.wasi.shutdown(1)"),
	after("func (ffd *fakeNetFD) Close() (err error) {", "\n\tif ffd.wasi != nil {\n\t\tffd.wasi.Close()\n\t}"),
	{"\tlni, ok := sockets.Load(fa)\n\tif !ok {\n\t\treturn wrapErr(syscall.ECONNREFUSED)",
		"\tlni, ok := sockets.Load(fa)\n\tif !ok {\n" +
			"\t\terr := wasiConnect(ctx, fd)\n" +
			"\t\tif errno, ok := err.(syscall.Errno); ok {\n\t\t\treturn os.NewSyscallError(\"connect\", errno)\n\t\t}\n" +
			"\t\treturn err"},
}}

var lookup = patch{"net/lookup_unix.go", []change{
	after("func (r *Resolver) lookupHost(ctx context.Context, host string) (addrs []string, err error) {",
		"\n\tif true { // the code below stays reachable for vet\n"+
			"\t\tips, err := wasiLookup(ctx, \"ip\", host)\n"+
			"\t\tfor _, ip := range ips {\n\t\t\taddrs = append(addrs, ip.String())\n\t\t}\n\t\treturn addrs, err\n\t}"),
	after("func (r *Resolver) lookupIP(ctx context.Context, network, host string) (addrs []IPAddr, err error) {",
		"\n\tif true {\n\t\treturn wasiLookup(ctx, network, host)\n\t}"),
}}

// server: requests reach the handler without a connection in between; see overlay/http_serve.go.
var server = patch{"net/http/server.go", []change{
	after("\tctx := context.WithValue(baseCtx, ServerContextKey, s)\n", "\tdefer dynoOffer(ctx, s, origListener)()\n"),
	{"\twriteStatusLine(w.conn.bufw, w.req.ProtoAtLeast(1, 1), code, w.statusBuf[:])\n\tcw.header.WriteSubset(",
		"\tif conn, ok := w.conn.rwc.(*dynoConn); ok {\n" +
			"\t\tcw.chunking = false\n" +
			"\t\tconn.startResponse(w, code, cw.header, excludeHeader, &setHeader)\n" +
			"\t\treturn\n\t}\n" +
			"\twriteStatusLine(w.conn.bufw, w.req.ProtoAtLeast(1, 1), code, w.statusBuf[:])\n\tcw.header.WriteSubset("},
	after("\tif code >= 100 && code <= 199 && code != StatusSwitchingProtocols {\n",
		"\t\tif _, ok := w.conn.rwc.(*dynoConn); ok {\n\t\t\treturn // wasi:http 0.2 has no informational responses\n\t\t}\n"),
	after("func (w *response) Hijack() (rwc net.Conn, buf *bufio.ReadWriter, err error) {\n",
		"\tif _, ok := w.conn.rwc.(*dynoConn); ok {\n"+
			"\t\treturn nil, nil, fmt.Errorf(\"http: connections cannot be taken over here, so WebSockets do not work: %w\", ErrNotSupported)\n\t}\n"),
}}

// additions are our own files, from the pack's overlay folder into the standard library.
var additions = map[string]string{
	"net_abi.go":    "net/dyno_abi_wasip1.go",
	"net_tcp.go":    "net/dyno_tcp_wasip1.go",
	"http_abi.go":   "net/http/dyno_abi_wasip1.go",
	"http_conn.go":  "net/http/dyno_conn_wasip1.go",
	"http_serve.go": "net/http/dyno_serve_wasip1.go",
}

// writeOverlay patches the sources under goroot into dir and returns the replacements: path that is built → file to read.
func writeOverlay(goroot, packFiles, dir string) (map[string]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	replace := map[string]string{}
	for _, p := range []patch{memory, idle, connections, lookup, server} {
		source := filepath.Join(goroot, "src", filepath.FromSlash(p.file))
		text, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		patched, err := p.apply(string(text))
		if err != nil {
			return nil, err
		}
		target := filepath.Join(dir, strings.ReplaceAll(p.file, "/", "_"))
		if err := os.WriteFile(target, []byte(patched), 0o644); err != nil {
			return nil, err
		}
		replace[source] = target
	}
	for from, to := range additions {
		replace[filepath.Join(goroot, "src", filepath.FromSlash(to))] = filepath.Join(packFiles, from)
	}
	return replace, nil
}

func (p patch) apply(text string) (string, error) {
	for _, c := range p.changes {
		if n := strings.Count(text, c.old); n != 1 {
			return "", fmt.Errorf("%s of this Go release is not as expected: %d places match %q", p.file, n, c.old)
		}
		text = strings.Replace(text, c.old, c.new, 1)
	}
	return text, nil
}

// writeOverlayFile writes what `go build -overlay` reads.
func writeOverlayFile(path string, replace map[string]string) error {
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// checkRelease refuses a Go release that the patches were not tested with.
func checkRelease(version string) error {
	for _, release := range supportedReleases {
		if version == "go"+release || strings.HasPrefix(version, "go"+release+".") {
			return nil
		}
	}
	return fmt.Errorf("%s is not supported: this buildpack works with Go %s", version, strings.Join(supportedReleases, " and "))
}
