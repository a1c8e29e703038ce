package rules

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// Location is one step on the way from a file to what is wrong in it. Lines
// and columns count from 1, Offset, in bytes, from 0. (Falco counts lines of
// files from 0.)
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

// place is a Location with its way from the file. Places form a tree, so that
// making one is cheap.
type place struct {
	Location
	parent *place
	text   string // what Offset refers to
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
			ItemType: itemType, ItemName: itemName, Name: root.Name,
			Line: max(line, 1), Column: max(column, 1), Offset: offsetOf(root.text, line, column),
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
			Line: pos.Line, Column: pos.Col, Offset: pos.Offset,
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
	if p.parent == nil {
		return []Location{p.Location}
	}
	return append(p.parent.locations(), p.Location)
}

// issue makes an Issue at p.
func (p *place) issue(code Code, format string, args ...any) Issue {
	return Issue{
		Code: code, Message: fmt.Sprintf(format, args...),
		Locations: p.locations(), Snippet: snippet(p.text, p.Offset),
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

// offsetOf is the offset in bytes of a line and a column in characters.
func offsetOf(text string, line, column int) int {
	start := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[start:], '\n')
		if i < 0 {
			return len(text)
		}
		start += i + 1
	}
	n := 0
	for i := range text[start:] {
		if n++; n >= column || text[start+i] == '\n' {
			return start + i
		}
	}
	return len(text)
}

// snippetWidth limits a snippet: lines may be very long.
const snippetWidth = 160

// snippet is the line that holds the offset, and below it a caret.
func snippet(text string, offset int) string {
	if strings.TrimSpace(text) == "" {
		return "<No context available>\n"
	}
	// The place of something that is missing may be behind the end.
	for offset > 0 && (offset >= len(text) || text[offset] == '\n') {
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
