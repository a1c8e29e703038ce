// Package document reads YAML files. It accepts invalid UTF-8 in comments, as
// Falco's parser does and the YAML library does not, and gives every error its
// line and column.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Error is why a text is not YAML. Line and Column count from 1, Column in
// characters.
type Error struct {
	Line, Column int
	Msg          string
}

func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Msg) }

// Read returns the documents in content; those without a value are left out.
// The error is an *Error.
func Read(content []byte) ([]*yaml.Node, error) {
	content, repaired, err := printable(content)
	if err != nil {
		return nil, err
	}
	docs, err := decode(content)
	if err != nil {
		return nil, locate(content, err)
	}
	if repaired {
		for _, doc := range docs {
			if err := checkText(doc, content); err != nil {
				return nil, err
			}
		}
	}
	return docs, nil
}

func decode(content []byte) (docs []*yaml.Node, err error) {
	defer func() { // the library panics on some broken input
		if p := recover(); p != nil {
			err = fmt.Errorf("unknown YAML parsing error: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if len(doc.Content) > 0 {
			docs = append(docs, doc.Content[0])
		}
	}
}

// substitute stands for a byte that is not UTF-8. It is the last character of
// the private use planes, which no text that people write has.
const substitute = '\U0010FFFD'

// printable returns content with bytes that are not UTF-8 replaced, and
// whether there are any. A character that YAML does not allow is an error.
func printable(content []byte) (text []byte, repaired bool, err error) {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return content, false, nil // UTF-16
	}
	text = make([]byte, 0, len(content))
	for i := 0; i < len(content); {
		r, n := utf8.DecodeRune(content[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			text, repaired = utf8.AppendRune(text, substitute), true
		case !allowed(r) && (r != '\ufeff' || i > 0):
			return nil, false, at(content, i, fmt.Sprintf("the control character %U is not allowed in YAML", r))
		default:
			text = append(text, content[i:i+n]...)
		}
		i += n
	}
	return text, repaired, nil
}

// allowed says whether YAML texts may have the character (YAML 1.2, 5.1).
func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r == '\u0085' ||
		r >= ' ' && r <= '~' || r >= '\u00a0' && r <= '\ud7ff' || r >= '\ue000' && r <= '\ufffd' && r != '\ufeff' || r >= '\U00010000'
}

// checkText refuses texts with bytes that are not UTF-8: only in comments do
// they do no harm.
func checkText(n *yaml.Node, content []byte) error {
	if n.Kind == yaml.ScalarNode && strings.ContainsRune(n.Value, substitute) {
		start := offset(content, n.Line, n.Column)
		i := bytes.IndexRune(content[start:], substitute)
		return at(content, start+max(i, 0), "a text must be UTF-8: save the file in that encoding, or escape the byte in double quotes")
	}
	for _, child := range n.Content {
		if err := checkText(child, content); err != nil {
			return err
		}
	}
	return nil
}

// libraryLine is how the library starts a message, with a line that is off by
// one for some errors.
var libraryLine = regexp.MustCompile(`^(yaml: )?(line \d+: )?`)

// locate finds the place of an error: the end of the shortest beginning of
// content that has the same error.
func locate(content []byte, err error) error {
	msg := err.Error()
	n := sort.Search(len(content), func(n int) bool {
		_, err := decode(content[:n])
		return err != nil && err.Error() == msg
	})
	if strings.Contains(msg, "unknown anchor") { // only the whole name is unknown
		n = bytes.LastIndexByte(content[:n], '*') + 1
	}
	return at(content, max(n-1, 0), libraryLine.ReplaceAllString(msg, ""))
}

// at is an Error at an offset.
func at(content []byte, offset int, msg string) *Error {
	before := content[:min(offset, len(content))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return &Error{Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(before[start:]) + 1, Msg: msg}
}

// offset is where a line and column are.
func offset(content []byte, line, column int) int {
	i := 0
	for ; line > 1; line-- {
		n := bytes.IndexByte(content[i:], '\n')
		if n < 0 {
			return len(content)
		}
		i += n + 1
	}
	for ; column > 1 && i < len(content); column-- {
		_, n := utf8.DecodeRune(content[i:])
		i += n
	}
	return i
}
