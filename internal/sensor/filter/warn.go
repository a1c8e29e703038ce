package filter

import (
	"fmt"
	"strings"
)

// Warning is something in a condition that is valid, but hardly meant.
type Warning struct {
	Pos Pos
	Msg string
}

// Warnings looks for regular expressions that a simpler operator could do, and
// for constants that look like a field or transformer: on the right of an
// operator these need val().
func Warnings(n Node, lookup Lookup) []Warning {
	var list []Warning
	Walk(n, func(n Node) {
		c, ok := n.(*Check)
		if !ok {
			return
		}
		for _, v := range c.Values {
			if msg := suspicious(c.Op, v.Text, lookup); msg != "" {
				list = append(list, Warning{v.At, msg})
			}
		}
	})
	return list
}

// plainRegex says whether a simpler operator can do the expression: at either
// end it has an anchor, which is implied, or any text, and plain text between.
func plainRegex(expr string) bool {
	for _, start := range []string{"^", ".*", ".+", ".?"} {
		if rest, ok := strings.CutPrefix(expr, start); ok {
			expr = rest
			break
		}
	}
	for _, end := range []string{"$", ".*", ".+", ".?"} {
		if rest, ok := strings.CutSuffix(expr, end); ok {
			expr = rest
			break
		}
	}
	return !strings.ContainsAny(expr, `.*+?^$|()[]{}\`)
}

func suspicious(op Op, value string, lookup Lookup) string {
	if op == Regex {
		if plainRegex(value) {
			return fmt.Sprintf("regex check with '%s' may be optimized with simpler operators such as '=', 'startswith', 'contains', 'endswith'", value)
		}
	}
	stripped := strings.TrimSpace(value)
	if n := fieldName(stripped); n > 0 && (n == len(stripped) || stripped[n] == '[') {
		if _, _, err := lookup(stripped); err == nil {
			return fmt.Sprintf("'%s' may be a valid field misused as a const string value", value)
		}
	}
	if strings.HasSuffix(stripped, ")") {
		for _, t := range append([]string{"val"}, transformers...) {
			if strings.HasPrefix(stripped, t+"(") {
				return fmt.Sprintf("'%s' may be a valid field transformer misused as a const string value", value)
			}
		}
	}
	return ""
}
