// Reads a Procfile and splits its command lines as a shell would, without running one.

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

const (
	procfileBytesMax = 64 << 10
	processTypesMax  = 64
)

// literalDollar stands for a `$` that is not to be expanded; the shim turns it back.
const literalDollar = "\x01"

// command is one process type of the Procfile.
type command struct {
	process     string
	line        string      // as written
	environment [][2]string // assignments in front of the command
	words       []string    // with $NAME still in them
}

var procfileLine = regexp.MustCompile(`^([A-Za-z0-9_-]{1,30})\s*:\s*(\S.*?)\s*$`)
var assignment = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)

// readProcfile returns nil when there is none.
func readProcfile(path string) ([]command, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(text) > procfileBytesMax {
		return nil, fmt.Errorf("the Procfile is larger than %d KiB", procfileBytesMax>>10)
	}
	return parseProcfile(string(text))
}

func parseProcfile(text string) ([]command, error) {
	var commands []command
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := procfileLine.FindStringSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("Procfile, line %d is not of the form \"name: command\": %s", i+1, line)
		}
		if seen[parts[1]] {
			return nil, fmt.Errorf("Procfile, line %d names the process type %q a second time", i+1, parts[1])
		}
		seen[parts[1]] = true
		c := command{process: parts[1], line: parts[2]}
		words, err := splitWords(parts[2])
		if err != nil {
			return nil, fmt.Errorf("Procfile, line %d (%s): %w", i+1, parts[1], err)
		}
		for len(words) > 0 {
			if words[0] == "exec" {
				words = words[1:]
				continue
			}
			a := assignment.FindStringSubmatch(words[0])
			if a == nil {
				break
			}
			c.environment = append(c.environment, [2]string{a[1], strings.ReplaceAll(a[2], literalDollar, "$")})
			words = words[1:]
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("Procfile, line %d (%s) has no command", i+1, parts[1])
		}
		c.words = words
		commands = append(commands, c)
	}
	if len(commands) > processTypesMax {
		return nil, fmt.Errorf("the Procfile has more than %d process types", processTypesMax)
	}
	return commands, nil
}

// splitWords knows quotes and backslashes, and refuses what would need a shell: pipes, lists, substitutions.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	previous := rune(0)
	for _, r := range line {
		if r < ' ' && r != '\t' {
			return nil, fmt.Errorf("control characters are not allowed")
		}
		switch {
		case escaped:
			escaped = false
			writeLiteral(&word, r)
		case quote == '\'':
			if r == '\'' {
				quote = 0
			} else {
				writeLiteral(&word, r)
			}
		case r == '\\':
			escaped, inWord = true, true
		case quote == '"':
			if r == '"' {
				quote = 0
			} else if r == '`' || r == '(' && previous == '$' {
				return nil, shellNeeded(line)
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case strings.ContainsRune("|&;<>()`", r):
			return nil, shellNeeded(line)
		default:
			word.WriteRune(r)
			inWord = true
		}
		previous = r
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func writeLiteral(word *strings.Builder, r rune) {
	if r == '$' {
		word.WriteString(literalDollar)
	} else {
		word.WriteRune(r)
	}
}

func shellNeeded(line string) error {
	return fmt.Errorf("this command needs a shell, which a dyno does not have: %s\n"+
		"hint: name one program per process type and move the rest into it", line)
}
