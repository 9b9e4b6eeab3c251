// Generates the file that joins the app's package main: the exported handler, and the arguments of its Procfile line.

package main

import (
	"fmt"
	"strings"
)

// shimFile is the name under which the shim appears beside the app's files, in the overlay only.
const shimFile = "dyno_shim_wasip1.go"

// Imports are renamed, so that no name of the app can collide with them.
const shimHead = `// Joins package main at build time.

//go:build wasip1

package main

import (
	dynoOS "os"
	dynoStrings "strings"
	_ "net/http"
	_ "unsafe"
)
`

const shimWeb = `
//go:linkname dynoHandle net/http.dynoHandle
func dynoHandle(request, out int32, main func())

//go:wasmexport wasi:http/incoming-handler@0.2.12#handle
func dynoExportHandle(request, out int32) { dynoHandle(request, out, main) }
`

const shimArguments = `
// The Procfile's words. A process type's arguments may name variables that only the dyno knows.
var dynoWords = []string{%s}

func dynoExpand(word string) string {
	word = dynoOS.Expand(word, func(name string) string {
		name, fallback, _ := dynoStrings.Cut(name, ":-")
		if value := dynoOS.Getenv(name); value != "" {
			return value
		}
		return fallback
	})
	return dynoStrings.ReplaceAll(word, %q, "$")
}

func init() {
%s	dynoOS.Args = dynoOS.Args[:0:0]
	for _, word := range dynoWords {
		dynoOS.Args = append(dynoOS.Args, dynoExpand(word))
	}
}
`

// A command may be started with other arguments than its Procfile line's; those are left alone.
const shimOnlyIfSame = `	if len(dynoOS.Args) != len(dynoWords) {
		return
	}
	for i, word := range dynoWords {
		if i > 0 && dynoOS.Args[i] != dynoStrings.ReplaceAll(word, %q, "$") {
			return
		}
	}
`

// shimSource returns the shim of a process, or "" when it needs none.
func shimSource(web bool, words []string) string {
	if !web && !strings.Contains(strings.Join(words, ""), "$") {
		return ""
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	onlyIf := fmt.Sprintf(shimOnlyIfSame, literalDollar)
	text := shimHead
	if web {
		text += shimWeb
		onlyIf = ""
	} else {
		text = strings.Replace(text, "\t_ \"net/http\"\n\t_ \"unsafe\"\n", "", 1)
	}
	return text + fmt.Sprintf(shimArguments, strings.Join(quoted, ", "), literalDollar, onlyIf)
}
