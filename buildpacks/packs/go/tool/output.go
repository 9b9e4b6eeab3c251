// Prints in the form of Heroku's buildpacks: arrows for steps, seven spaces for details, exclamation marks for warnings.

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

type output struct{ to io.Writer }

func (o output) step(format string, args ...any) { fmt.Fprintf(o.to, "-----> "+format+"\n", args...) }

func (o output) detail(format string, args ...any) {
	o.lines("       ", fmt.Sprintf(format, args...))
}

func (o output) warn(format string, args ...any) {
	o.lines(" !     ", fmt.Sprintf(format, args...))
}

func (o output) lines(prefix, text string) {
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintln(o.to, prefix+line)
	}
}

// indented is a writer that prints what a tool says as details, line by line.
type indented struct {
	out     output
	pending bytes.Buffer
}

const indentedLineBytesMax = 8 << 10

func (w *indented) Write(p []byte) (int, error) {
	w.pending.Write(p)
	for {
		text := w.pending.Bytes()
		end := bytes.IndexByte(text, '\n')
		if end < 0 && len(text) < indentedLineBytesMax {
			return len(p), nil
		}
		if end < 0 {
			end = len(text) - 1
		}
		w.out.detail("%s", w.pending.Next(end+1))
	}
}

func (w *indented) flush() {
	if w.pending.Len() > 0 {
		w.out.detail("%s", w.pending.Next(w.pending.Len()))
	}
}
