package field

import (
	"fmt"
	"regexp"
	"strings"
)

// wildcard compiles a pattern of fnmatch(3) without flags: * also crosses
// slashes.
func wildcard(pattern string) (func(string) bool, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		switch ch := pattern[i]; ch {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		case '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			set := pattern[i+1 : i+end]
			b.WriteByte('[')
			if rest, ok := strings.CutPrefix(set, "!"); ok {
				b.WriteByte('^')
				set = rest
			}
			b.WriteString(strings.ReplaceAll(set, `\`, `\\`))
			b.WriteByte(']')
			i += end
		default:
			b.WriteString(regexp.QuoteMeta(string(ch)))
		}
	}
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("argument %q: not a valid pattern", pattern)
	}
	return re.MatchString, nil
}
