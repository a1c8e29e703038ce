package filter

import (
	"fmt"
	"strings"
)

// isBlank says whether c separates words.
func isBlank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\b' || c == '\r' || c == '\n'
}

// isSpace is the blank of words, arguments and "not": [[:space:]].
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// The functions below return the length of the token at the start of s, or 0.

// identifier is [a-zA-Z]+[a-zA-Z0-9_]*.
func identifier(s string) int {
	if s == "" || !isLetter(s[0]) {
		return 0
	}
	n := 1
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n]) || s[n] == '_') {
		n++
	}
	return n
}

// fieldName is two or more identifiers with dots between them.
func fieldName(s string) int {
	n := identifier(s)
	dotted := false
	for n > 0 && n < len(s) && s[n] == '.' {
		m := identifier(s[n+1:])
		if m == 0 {
			break
		}
		n += 1 + m
		dotted = true
	}
	if !dotted {
		return 0
	}
	return n
}

// fieldArg is [^][\"'[:space:]]+.
func fieldArg(s string) int {
	n := 0
	for n < len(s) && !isSpace(s[n]) && strings.IndexByte(`[]"'`, s[n]) < 0 {
		n++
	}
	return n
}

// bareString is [^()"'[:space:]=,]+.
func bareString(s string) int {
	n := 0
	for n < len(s) && !isSpace(s[n]) && strings.IndexByte(`()"'=,`, s[n]) < 0 {
		n++
	}
	return n
}

// number is [+-]?[0-9]+[.]?[0-9]*([eE][+-][0-9]+)? or 0[xX] and hex digits.
func number(s string) int {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' && isHex(s[2]) {
		return 2 + span(s[2:], isHex)
	}
	n := 0
	if s != "" && (s[0] == '+' || s[0] == '-') {
		n++
	}
	digits := span(s[n:], isDigit)
	if digits == 0 {
		return 0
	}
	n += digits
	if n < len(s) && s[n] == '.' {
		n += 1 + span(s[n+1:], isDigit)
	}
	if n+2 < len(s) && s[n]|0x20 == 'e' && (s[n+1] == '+' || s[n+1] == '-') && isDigit(s[n+2]) {
		n += 2 + span(s[n+2:], isDigit)
	}
	return n
}

func span(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

// Quoted is the length of the string in single or double quotes at the start
// of s, 0 when the closing quote is missing. As in Falco, a quote behind a backslash
// never closes, not even where that backslash is an escaped one: a string that
// ends in a backslash is written with a blank behind it.
func Quoted(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		if s[i] == s[0] && s[i-1] != '\\' {
			return i + 1
		}
	}
	return 0
}

// unescape returns the text of a quoted string.
func unescape(s string) (string, error) {
	delimiter, s := s[0], s[1:len(s)-1]
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf(`unsupported string escape sequence: \ at the end`)
		}
		switch c := s[i]; c {
		case 'b', 'f', 'n', 'r', 't':
			b = append(b, "\b\f\n\r\t"[strings.IndexByte("bfnrt", c)])
		case ' ': // Falco's rules of old wrote a backslash so
			b = append(b, '\\')
		case '\\', '/':
			b = append(b, c)
		case '"', '\'':
			if c != delimiter {
				return "", fmt.Errorf(`invalid \%c escape in %c-quoted string`, c, delimiter)
			}
			b = append(b, c)
		case 'x':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "", fmt.Errorf(`unsupported string escape sequence: \x needs two hex digits`)
			}
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			return "", fmt.Errorf(`unsupported string escape sequence: \%c`, c)
		}
	}
	return string(b), nil
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
