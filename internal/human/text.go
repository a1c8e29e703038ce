package human

import (
	"strconv"
	"strings"
)

// Text makes a name of foreign origin fit to be shown: what could steer a
// terminal (control characters, escapes, marks that turn the direction of
// writing) becomes the replacement character.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// Command writes a command line that a shell reads back as it was.
func Command(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$&|;<>()*?[]{}~#`!") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
