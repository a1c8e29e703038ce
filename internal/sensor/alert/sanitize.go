package alert

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// appendSafe appends s as alerts show it: text chosen by a process, such as a
// file name, must not break the line or control a terminal. Control characters
// and invalid UTF-8 become U+FFFD, as in Falco's JSON.
func appendSafe(dst []byte, s string) []byte {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	dst = append(dst, s[:i]...)
	for _, r := range s[i:] { // invalid bytes read as U+FFFD
		if r < ' ' || (0x7f <= r && r < 0xa0) {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendQuoted appends s, which appendSafe has made, as a JSON string. Only two
// characters are left to escape, and most texts have neither.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		i := indexSpecial(s)
		if i < 0 {
			return append(append(dst, s...), '"')
		}
		dst = append(append(dst, s[:i]...), '\\', s[i])
		s = s[i+1:]
	}
}

// indexSpecial is the place of the first quote or backslash. It looks at short
// pieces, so that a text full of either is not searched for the other again
// and again.
func indexSpecial(s string) int {
	const piece = 256
	for from := 0; from < len(s); from += piece {
		part := s[from:min(from+piece, len(s))]
		i, j := strings.IndexByte(part, '"'), strings.IndexByte(part, '\\')
		switch {
		case i < 0 && j < 0:
			continue
		case i < 0 || (0 <= j && j < i):
			i = j
		}
		return from + i
	}
	return -1
}

// quoted is any text as a JSON string.
func quoted(s string) string {
	return string(appendQuoted(nil, string(appendSafe(nil, s))))
}

// appendText appends v as text outputs show it.
func (v Value) appendText(dst []byte) []byte {
	switch v.Kind {
	case String:
		return append(dst, v.Str...)
	case Int:
		return strconv.AppendInt(dst, v.Int, 10)
	case Uint:
		return strconv.AppendUint(dst, v.Uint, 10)
	case Bool:
		return strconv.AppendBool(dst, v.Uint != 0)
	case Double:
		return strconv.AppendFloat(dst, v.Dbl, 'f', -1, 64)
	}
	return append(dst, "<NA>"...)
}

// appendJSON appends v, whose string appendSafe has made.
func (v Value) appendJSON(dst []byte) []byte {
	switch v.Kind {
	case String:
		return appendQuoted(dst, v.Str)
	case Null:
		return append(dst, "null"...)
	case Double:
		if v.Dbl-v.Dbl != 0 { // infinite, or not a number: JSON has neither
			return append(dst, "null"...)
		}
	}
	return v.appendText(dst)
}
