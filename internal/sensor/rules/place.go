package rules

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// Location is one step on the way from a file to the error in it. Lines and
// columns count from 1, Offset, in bytes, from 0. (Falco counts lines of files
// from 0.)
type Location struct {
	ItemType, ItemName string
	Name               string // of the file, or the start of a condition in quotes
	Line, Column       int
	Offset             int
}

// Issue is an error or a warning.
type Issue struct {
	Code      Code
	Message   string
	Locations []Location // outermost first, never empty
	Snippet   string     // the source line, and a line with a caret
}

// place is a Location with its way from the file. Places form a tree, and
// their Offset is left for when an Issue needs it, so that making one is
// cheap.
type place struct {
	Location
	parent *place
	text   string // text that Line and Column refer to
}

// The kinds of items, as contexts name them.
const (
	itemValue         = "value for"
	itemExceptions    = "exceptions"
	itemException     = "exception"
	itemExValues      = "exception values"
	itemExValue       = "exception value"
	itemContent       = "rules content"
	itemContentItem   = "rules content item"
	itemEngineVersion = "required_engine_version"
	itemPlugins       = "required plugin versions"
	itemPlugin        = "required plugin versions entry"
	itemAlternative   = "required plugin versions alternative"
	itemList          = "list"
	itemListItem      = "list item"
	itemMacro         = "macro"
	itemMacroCond     = "macro condition"
	itemRule          = "rule"
	itemRuleCond      = "rule condition"
	itemExpression    = "condition expression"
	itemOutput        = "rule output"
	itemPriority      = "rule priority"
	itemOverride      = "overrides"
)

// fileOf is the place of a whole file.
func fileOf(s Source) *place {
	return &place{Location: Location{ItemType: itemContent, Name: s.Name, Line: 1, Column: 1}, text: string(s.Content)}
}

// at is the place of a YAML node within p.
func (p *place) at(n *yaml.Node, itemType, itemName string) *place {
	return p.line(n.Line, n.Column, itemType, itemName)
}

func (p *place) line(line, column int, itemType, itemName string) *place {
	root := p.root()
	return &place{
		Location: Location{
			ItemType: itemType, ItemName: itemName, Name: root.Name, Line: max(line, 1), Column: max(column, 1),
		},
		parent: p, text: root.text,
	}
}

// in is a place in a condition that stands at p.
func (p *place) in(pos filter.Pos) *place {
	name := pos.Text
	if len(name) > 20 {
		name = name[:17] + "..."
	}
	name = strings.NewReplacer("\n", " ", "\r", " ").Replace(name)
	return &place{
		Location: Location{
			ItemType: itemExpression, Name: `"` + strings.ToValidUTF8(name, "?") + `"`,
			Line: pos.Line, Column: pos.Col,
		},
		parent: p, text: pos.Text,
	}
}

func (p *place) root() *place {
	for p.parent != nil {
		p = p.parent
	}
	return p
}

func (p *place) locations() []Location {
	l := p.Location
	l.Offset = p.offset()
	if p.parent == nil {
		return []Location{l}
	}
	return append(p.parent.locations(), l)
}

// offset is the offset in bytes of Line and Column. Columns are counted in
// characters in files, but in bytes in conditions.
func (p *place) offset() int {
	start := lineStart(p.text, p.Line)
	if p.ItemType == itemExpression {
		return min(start+p.Column-1, len(p.text))
	}
	n := 0
	for i := range p.text[start:] {
		if n++; n >= p.Column || p.text[start+i] == '\n' {
			return start + i
		}
	}
	return len(p.text)
}

// lineStart is the offset of a line, counted from 1.
func lineStart(text string, line int) int {
	start := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[start:], '\n')
		if i < 0 {
			return len(text)
		}
		start += i + 1
	}
	return start
}

// issue makes an Issue at p.
func (p *place) issue(code Code, format string, args ...any) Issue {
	return Issue{
		Code: code, Message: fmt.Sprintf(format, args...),
		Locations: p.locations(), Snippet: snippet(p.text, p.offset()),
	}
}

// failure is an Issue on its way up as an error.
type failure struct{ Issue }

func (f *failure) Error() string {
	last := f.Locations[len(f.Locations)-1]
	return fmt.Sprintf("%s:%d:%d: %s", last.Name, last.Line, last.Column, f.Message)
}

func (p *place) fail(code Code, format string, args ...any) error {
	return &failure{p.issue(code, format, args...)}
}

// snippetWidth limits a snippet: lines may be very long.
const snippetWidth = 160

// snippet is the line that holds the offset, and below it a caret.
func snippet(text string, offset int) string {
	if strings.TrimSpace(text) == "" {
		return "<No context available>\n"
	}
	// The place of something that is missing may be behind the end.
	text = strings.TrimRight(text, "\n")
	offset = min(offset, len(text))
	for offset > 0 && offset < len(text) && text[offset] == '\n' {
		offset--
	}
	from := strings.LastIndexByte(text[:offset], '\n') + 1
	to := len(text)
	if i := strings.IndexByte(text[offset:], '\n'); i >= 0 {
		to = offset + i
	}
	before, after := text[from:offset], text[offset:to]
	if len(before) > snippetWidth/2 {
		before = "..." + before[len(before)-snippetWidth/2+3:]
	}
	if len(after) > snippetWidth/2 {
		after = after[:snippetWidth/2-3] + "..."
	}
	before = strings.ToValidUTF8(before, "?")
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, before)
	return before + strings.ToValidUTF8(after, "?") + "\n" + indent + "^\n"
}
