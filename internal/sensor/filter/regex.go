package filter

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// regexMatcher matches a whole value against an expression in POSIX (egrep)
// syntax, in linear time. Bytes that are not UTF-8 count as U+FFFD.
func regexMatcher(c *Check, expr string) (textMatch, error) {
	tree, err := syntax.Parse(expr, syntax.POSIX)
	if err != nil {
		return nil, &Error{Pos: c.Values[0].At, Msg: "filter error: invalid regex '" + expr + "': " + reason(err)}
	}
	re, err := regexp.Compile(`\A(?:` + tree.String() + `)\z`)
	if err != nil {
		return nil, &Error{Pos: c.Values[0].At, Msg: "filter error: invalid regex '" + expr + "': " + reason(err)}
	}
	literal := required(tree.Simplify())
	if literal == "" {
		return re.MatchString, nil
	}
	return func(s string) bool { return strings.Contains(s, literal) && re.MatchString(s) }, nil
}

func reason(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// required returns the longest text that every match contains, "" if none is
// obvious.
func required(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if s := required(sub); len(s) > len(best) {
				best = s
			}
		}
		return best
	}
	return ""
}
