package filter

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// naive evaluates a tree by the letter of the language's description, with
// none of the code that the package compiles to.
func naive(n Node, r record) bool {
	switch n := n.(type) {
	case *And:
		return !slices.ContainsFunc(n.Nodes, func(m Node) bool { return !naive(m, r) })
	case *Or:
		return slices.ContainsFunc(n.Nodes, func(m Node) bool { return naive(m, r) })
	case *Not:
		return !naive(n.Node, r)
	case *Const:
		return n.Value
	}
	return naiveCheck(n.(*Check), r)
}

func naiveCheck(c *Check, r record) bool {
	name := c.Left.(*Field).String()
	fakeName, _, _ := strings.Cut(name, "[")
	if strings.HasPrefix(fakeName, "evt.arg") {
		fakeName = "evt.arg"
	}
	f := fakes[fakeName]
	text, ok := r[name]
	if !ok || strings.HasPrefix(name, "p.") && text == "" || f.match != field.One && f.match != field.List && text == "" {
		return false
	}
	if c.Op == Exists {
		return true
	}
	left := []string{text}
	if f.match != field.One {
		left = strings.Split(text, ",")
	}
	if f.match == field.List && text == "" {
		left = nil
	}
	var right []string
	if c.Right != nil {
		rightText, ok := r[c.Right.(*Transform).Args[0].(*Field).String()]
		if !ok {
			return false
		}
		right = []string{rightText}
		if f.match == field.List {
			if right = strings.Split(rightText, ","); rightText == "" {
				right = nil
			}
		}
	} else {
		for _, v := range c.Values {
			right = append(right, v.Text)
		}
	}
	if f.flags&field.Within != 0 {
		c = &Check{Left: c.Left, Op: LessEq}
	}
	holds := 0
	for _, l := range left {
		if naiveValue(f.typ, c, l, right) {
			holds++
		}
	}
	if f.match == field.List && c.Op == In || f.match == field.Ends && c.Op == NotEq {
		return holds == len(left)
	}
	return holds > 0
}

// naiveValue compares one value on the left with those on the right.
func naiveValue(t field.Type, c *Check, left string, right []string) bool {
	n := 0
	for _, v := range right {
		if naivePair(t, c.Op, left, v) {
			n++
		}
	}
	switch c.Modifier {
	case OneOf:
		return n == 1
	case AllOf:
		return n == len(right) && n > 0
	}
	return n > 0
}

func naivePair(t field.Type, op Op, l, r string) bool {
	switch t {
	case field.String, field.Bytes:
		return naiveText(op, l, r)
	case field.IPAddr, field.IPNet:
		a := netip.MustParseAddr(l)
		var equal bool
		if t == field.IPNet {
			equal = netip.MustParsePrefix(r).Contains(a)
		} else {
			equal = a == netip.MustParseAddr(r)
		}
		return equal != (op == NotEq)
	case field.Bool:
		if r == "true" {
			r = "1"
		} else if r == "false" {
			r = "0"
		}
	case field.Port:
		if r == "ssh" {
			r = "22"
		}
	}
	a, b := mustInt(l), mustInt(r)
	switch op {
	case Less:
		return a < b
	case LessEq:
		return a <= b
	case Greater:
		return a > b
	case GreaterEq:
		return a >= b
	case NotEq:
		return a != b
	}
	return a == b
}

func naiveText(op Op, l, r string) bool {
	switch op {
	case NotEq:
		return l != r
	case Less:
		return strings.Compare(l, r) < 0
	case LessEq:
		return strings.Compare(l, r) <= 0
	case Greater:
		return strings.Compare(l, r) > 0
	case GreaterEq:
		return strings.Compare(l, r) >= 0
	case Contains:
		return strings.Contains(l, r)
	case IContains:
		return strings.Contains(strings.ToLower(l), strings.ToLower(r))
	case StartsWith:
		return strings.HasPrefix(l, r)
	case EndsWith:
		return strings.HasSuffix(l, r)
	case Glob:
		return globRegexp(latin1(r), false).MatchString(latin1(l))
	case IGlob:
		return globRegexp(latin1(r), true).MatchString(latin1(l))
	case Regex:
		loc := regexp.MustCompilePOSIX(r).FindStringIndex(l)
		return loc != nil && loc[0] == 0 && loc[1] == len(l)
	case PMatch:
		return naivePath(components(l), components(r))
	case BContains, BStartsWith:
		b, _ := hex.DecodeString(r)
		if op == BContains {
			return strings.Contains(l, string(b))
		}
		return strings.HasPrefix(l, string(b))
	}
	return l == r
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

func naivePath(value, prefix []string) bool {
	if len(prefix) > len(value) {
		return false
	}
	for i, p := range prefix {
		if strings.ContainsAny(p, "?*[") {
			if !globRegexp(p, false).MatchString(value[i]) {
				return false
			}
		} else if p != value[i] {
			return false
		}
	}
	return true
}

// latin1 makes a character of each byte: globs are about bytes.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// globRegexp translates the globs that the tests generate: no classes with
// names, no escapes within classes.
func globRegexp(glob string, fold bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("(?s)")
	if fold {
		b.WriteString("(?i)")
	}
	b.WriteString(`\A`)
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		case '\\':
			if i++; i == len(glob) {
				return regexp.MustCompile(`\A\z.`) // matches nothing
			}
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		case '[':
			end := strings.IndexByte(glob[min(i+2, len(glob)):], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			class := glob[i+1 : i+2+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString("[" + class + "]")
			i += 2 + end
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String())
}
