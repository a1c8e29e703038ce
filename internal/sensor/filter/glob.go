package filter

import "strings"

// globMatcher matches as fnmatch(3) without flags in the C locale: * crosses
// '/', ? is any byte, [...] a class, backslash takes the next byte literally.
// fold ignores the case of ASCII letters (FNM_CASEFOLD).
func globMatcher(pattern string, fold bool) textMatch {
	if fold {
		return func(s string) bool { return glob(pattern, s, true) }
	}
	n := strings.IndexAny(pattern, `*?[\`)
	if n < 0 {
		return func(s string) bool { return s == pattern }
	}
	prefix, rest := pattern[:n], pattern[n:]
	// A pattern like /dir/* needs no walk.
	if rest == "*" {
		return func(s string) bool { return strings.HasPrefix(s, prefix) }
	}
	return func(s string) bool {
		return strings.HasPrefix(s, prefix) && glob(rest, s[n:], false)
	}
}

// glob matches s against pattern. On a mismatch it goes back to the last *
// only: an earlier one could not match more. So it takes at most
// len(s)*len(pattern) steps.
func glob(pattern, s string, fold bool) bool {
	i, p := 0, 0
	star, mark := -1, 0
	for {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p+1, i
			p++
			continue
		}
		if i < len(s) && p < len(pattern) {
			if ok, n := globByte(pattern[p:], s[i], fold); ok {
				i++
				p += n
				continue
			}
		}
		if i == len(s) && p == len(pattern) {
			return true
		}
		if star < 0 || mark >= len(s) {
			return false
		}
		mark++
		if !fold && star < len(pattern) && strings.IndexByte(`*?[\`, pattern[star]) < 0 {
			n := strings.IndexByte(s[mark:], pattern[star])
			if n < 0 {
				return false
			}
			mark += n
		}
		i, p = mark, star
	}
}

// globByte matches one byte against the element at the start of pattern, which
// is not empty and no *, and returns the element's length.
func globByte(pattern string, c byte, fold bool) (ok bool, n int) {
	switch pattern[0] {
	case '?':
		return true, 1
	case '[':
		if n := classEnd(pattern); n > 0 {
			return inClass(pattern[1:n-1], c, fold), n
		}
	case '\\':
		if len(pattern) == 1 {
			return false, 1 // fnmatch: a trailing backslash matches nothing
		}
		return sameByte(pattern[1], c, fold), 2
	}
	return sameByte(pattern[0], c, fold), 1
}

func sameByte(a, b byte, fold bool) bool {
	return a == b || fold && lower(a) == lower(b)
}

// classEnd is the length of the bracket expression at the start of pattern, 0
// if it has no end: then the bracket is an ordinary character.
func classEnd(pattern string) int {
	i := 1
	if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
		i++
	}
	for first := true; i < len(pattern); first = false {
		switch {
		case pattern[i] == ']' && !first:
			return i + 1
		case strings.HasPrefix(pattern[i:], "[:"):
			if n := strings.Index(pattern[i+2:], ":]"); n >= 0 {
				i += n + 4
				continue
			}
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
		}
		i++
	}
	return 0
}

// inClass says whether c is in the class between the brackets.
func inClass(class string, c byte, fold bool) bool {
	negate := class != "" && (class[0] == '!' || class[0] == '^')
	if negate {
		class = class[1:]
	}
	return classHas(class, c, fold) != negate
}

func classHas(class string, c byte, fold bool) bool {
	for i := 0; i < len(class); {
		if strings.HasPrefix(class[i:], "[:") {
			if n := strings.Index(class[i+2:], ":]"); n >= 0 {
				if named(class[i+2:i+2+n], c) || fold && (named(class[i+2:i+2+n], lower(c)) || named(class[i+2:i+2+n], upper(c))) {
					return true
				}
				i += n + 4
				continue
			}
		}
		lo, n := classByte(class[i:])
		i += n
		hi := lo
		if i+1 < len(class) && class[i] == '-' {
			hi, n = classByte(class[i+1:])
			i += 1 + n
		}
		if lo <= c && c <= hi || fold && (lo <= lower(c) && lower(c) <= hi || lo <= upper(c) && upper(c) <= hi) {
			return true
		}
	}
	return false
}

func classByte(class string) (c byte, n int) {
	if class[0] == '\\' && len(class) > 1 {
		return class[1], 2
	}
	return class[0], 1
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c &^ 0x20
	}
	return c
}

// named says whether c is in a character class of the C locale.
func named(class string, c byte) bool {
	letter := isLetter(c)
	switch class {
	case "alpha":
		return letter
	case "digit":
		return isDigit(c)
	case "alnum":
		return letter || isDigit(c)
	case "upper":
		return c >= 'A' && c <= 'Z'
	case "lower":
		return c >= 'a' && c <= 'z'
	case "space":
		return isSpace(c)
	case "blank":
		return c == ' ' || c == '\t'
	case "punct":
		return c > ' ' && c < 0x7f && !letter && !isDigit(c)
	case "xdigit":
		return isHex(c)
	case "cntrl":
		return c < ' ' || c == 0x7f
	case "print":
		return c >= ' ' && c < 0x7f
	case "graph":
		return c > ' ' && c < 0x7f
	}
	return false
}
