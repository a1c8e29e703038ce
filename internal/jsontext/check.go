// Package jsontext reads JSON in place: it checks a text in one pass, tells what
// is where in it, and walks through what has been checked.
package jsontext

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Value is a JSON value in place: a part of a body that has been checked. Nil
// stands for one that is not there.
type Value []byte

// Kind is the JSON type of a value.
type Kind uint8

// The kinds.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Object
	Array
)

// Kind returns the kind of v.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Missing
	}
	switch v[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// maxDepth bounds how deep values nest. The API server's own objects stay
// below 30; the stack must not follow a body of brackets.
const maxDepth = 256

// ErrTruncated is the error for a text that is not whole.
var ErrTruncated = errors.New("the text ends within a value")

// SyntaxError says what was expected at byte i.
func SyntaxError(i int, want string) error { return fmt.Errorf("at byte %d: expected %s", i, want) }

// Blank returns the place of the next byte that is not white space.
func Blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// Check returns the end of the value that starts at i, by the grammar of
// RFC 8259. depth is how deep it nests in others.
func Check(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, ErrTruncated
	}
	switch c := b[i]; {
	case c == '"':
		return checkString(b, i)
	case c == '{':
		return CheckObject(b, i, depth, nil)
	case c == '[':
		return CheckArray(b, i, depth, nil)
	case c == 't':
		return checkWord(b, i, "true")
	case c == 'f':
		return checkWord(b, i, "false")
	case c == 'n':
		return checkWord(b, i, "null")
	case c == '-' || '0' <= c && c <= '9':
		return checkNumber(b, i)
	}
	return i, SyntaxError(i, "a value")
}

// Member is called for each member of an object that is being checked: its key
// and the place of its value, whose end it returns.
type Member func(key Value, at int) (int, error)

// CheckObject is Check for an object; each may be nil.
func CheckObject(b []byte, i, depth int, each Member) (int, error) {
	if depth >= maxDepth {
		return i, fmt.Errorf("at byte %d: values nest more than %d deep", i, maxDepth)
	}
	if i = Blank(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) {
			return i, ErrTruncated
		}
		if b[i] != '"' {
			return i, SyntaxError(i, "a key")
		}
		end, err := checkString(b, i)
		if err != nil {
			return end, err
		}
		key := Value(b[i:end])
		if i = Blank(b, end); i >= len(b) {
			return i, ErrTruncated
		}
		if b[i] != ':' {
			return i, SyntaxError(i, "a ':'")
		}
		i = Blank(b, i+1)
		if each != nil {
			i, err = each(key, i)
		} else {
			i, err = Check(b, i, depth+1)
		}
		if err != nil {
			return i, err
		}
		var done bool
		if i, done, err = separator(b, i, '}'); done || err != nil {
			return i, err
		}
	}
}

// Element is called for each element of an array that is being checked, with
// its place; it returns its end.
type Element func(at int) (int, error)

// CheckArray is Check for an array; each may be nil.
func CheckArray(b []byte, i, depth int, each Element) (int, error) {
	if depth >= maxDepth {
		return i, fmt.Errorf("at byte %d: values nest more than %d deep", i, maxDepth)
	}
	if i = Blank(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if each != nil {
			i, err = each(i)
		} else {
			i, err = Check(b, i, depth+1)
		}
		if err != nil {
			return i, err
		}
		var done bool
		if i, done, err = separator(b, i, ']'); done || err != nil {
			return i, err
		}
	}
}

// separator reads a comma and the blanks around it, or the end of the list.
func separator(b []byte, i int, end byte) (next int, done bool, err error) {
	i = Blank(b, i)
	switch {
	case i >= len(b):
		return i, false, ErrTruncated
	case b[i] == end:
		return i + 1, true, nil
	case b[i] != ',':
		return i, false, SyntaxError(i, "a ',' or '"+string(end)+"'")
	}
	return Blank(b, i+1), false, nil
}

// plain are the bytes that stand for themselves in a string.
var plain = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return table
}()

func checkString(b []byte, i int) (int, error) {
	for i++; ; i++ {
		for i < len(b) && plain[b[i]] {
			i++
		}
		switch {
		case i >= len(b):
			return i, ErrTruncated
		case b[i] == '"':
			return i + 1, nil
		case b[i] != '\\':
			return i, SyntaxError(i, "no control character in a string")
		}
		var err error
		if i, err = checkEscape(b, i+1); err != nil {
			return i, err
		}
	}
}

// checkEscape returns the place of the last byte of the escape whose first
// byte after the backslash is at i.
func checkEscape(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, ErrTruncated
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i, nil
	case 'u':
		if i+4 >= len(b) {
			return i, ErrTruncated
		}
		if _, ok := hex4(b[i+1 : i+5]); ok {
			return i + 4, nil
		}
	}
	return i, SyntaxError(i, "an escape")
}

func checkWord(b []byte, i int, word string) (int, error) {
	if len(b)-i < len(word) && word[:len(b)-i] == string(b[i:]) {
		return len(b), ErrTruncated
	}
	if !bytes.HasPrefix(b[i:], []byte(word)) {
		return i, SyntaxError(i, word)
	}
	return i + len(word), nil
}

func checkNumber(b []byte, i int) (int, error) {
	digits := func() error {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		if i == from {
			return SyntaxError(i, "a digit")
		}
		return nil
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if err := digits(); err != nil {
		return i, err
	}
	if i < len(b) && b[i] == '.' {
		i++
		if err := digits(); err != nil {
			return i, err
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if err := digits(); err != nil {
			return i, err
		}
	}
	return i, nil
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip returns the end of the value at i of a checked text.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return SkipString(b, i)
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch b[i] {
			case '"':
				i = SkipString(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(b) && bytes.IndexByte([]byte(",]} \n\t\r"), b[i]) < 0 {
		i++
	}
	return i
}

// SkipString returns the end of the string at i of a checked text.
func SkipString(b []byte, i int) int {
	for i++; ; i++ {
		for plain[b[i]] {
			i++
		}
		if b[i] == '"' {
			return i + 1
		}
		if b[i] == '\\' {
			i++
		}
	}
}

// Plain returns the text of a string without escapes, in place.
func (v Value) Plain() (string, bool) {
	if v.Kind() != String || bytes.IndexByte(v, '\\') >= 0 {
		return "", false
	}
	text := v[1 : len(v)-1]
	return unsafe.String(unsafe.SliceData(text), len(text)), true
}

// Is says whether the string v reads s.
func (v Value) Is(s string) bool {
	if text, ok := v.Plain(); ok {
		return text == s
	}
	var short [64]byte
	return string(v.appendString(short[:0])) == s
}

// appendString appends the text of a string.
func (v Value) appendString(dst []byte) []byte {
	b := v[1 : len(v)-1]
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			dst = append(dst, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hex4(b[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if len(b) > i+6 && b[i+1] == '\\' && b[i+2] == 'u' {
					low, _ = hex4(b[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, b[i])
		}
	}
	return dst
}
