package rules

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// maxListItems limits the expansion of a list: lists that name lists can grow
// exponentially.
const maxListItems = 100_000

// List is a loaded list.
type List struct {
	Name  string
	Items []string // as written
	// Expanded are the items with those that name earlier lists replaced by
	// the items of these.
	Expanded []string
	// Lists are the names of lists among Items.
	Lists []string
	Used  bool

	text string // its replacement in a condition
	at   *place
}

// lists are the lists by name.
type lists struct {
	order  []*List
	byName map[string]*List
	spaced []*List // those whose names have delimiters in them, longest first
}

func (c *collection) compileLists(known failures) (*lists, error) {
	out := &lists{byName: map[string]*List{}}
	for _, def := range c.lists.order {
		l := &List{Name: def.name, Items: def.items, at: def.at}
		out.order = append(out.order, l)
		out.byName[def.name] = l
		if strings.ContainsFunc(def.name, func(r rune) bool { return r < utf8.RuneSelf && isDelimiter(byte(r)) }) {
			out.spaced = append(out.spaced, l)
		}
	}
	slices.SortStableFunc(out.spaced, func(a, b *List) int { return len(b.Name) - len(a.Name) })
	for _, def := range c.lists.order {
		l := out.byName[def.name]
		for _, item := range def.items {
			if ref := c.visibleList(def, item); ref != nil && ref != def {
				l.Lists = append(l.Lists, item)
				out.byName[item].Used = true
			}
		}
		slices.Sort(l.Lists)
		l.Lists = slices.Compact(l.Lists)
		e := expansion{c: c, open: map[*listDef]bool{}}
		if !e.expand(def) {
			err := def.at.fail(ErrValidate, "List expands to more than %d items", maxListItems)
			if !known.has(err) {
				return nil, err
			}
			e.items = nil
		}
		l.Expanded = e.items
		quoted := make([]string, len(e.items))
		for i, item := range e.items {
			quoted[i] = quoteItem(item)
		}
		l.text = strings.Join(quoted, ", ")
	}
	return out, nil
}

// visibleList returns the list that item of def names, if it was defined
// before.
func (c *collection) visibleList(def *listDef, item string) *listDef {
	ref := c.lists.byName[item]
	if ref == nil || ref.index >= def.visible {
		return nil
	}
	return ref
}

type expansion struct {
	c     *collection
	open  map[*listDef]bool // being expanded: a list does not contain itself
	items []string
	steps int
}

func (e *expansion) expand(def *listDef) bool {
	e.open[def] = true
	defer delete(e.open, def)
	for _, item := range def.items {
		if e.steps++; e.steps > 4*maxListItems || len(e.items) > maxListItems {
			return false
		}
		if ref := e.c.visibleList(def, item); ref != nil && !e.open[ref] {
			if !e.expand(ref) {
				return false
			}
			continue
		}
		e.items = append(e.items, item)
	}
	return len(e.items) <= maxListItems
}

// substitute returns the condition with the names of lists replaced by their
// items. A name counts wherever blanks, parentheses, commas or "=" delimit it,
// but not in quotes. It may have such delimiters in it.
func (l *lists) substitute(cond string) string {
	var out []byte
	done := 0 // length of cond already written
	for i := 0; i < len(cond); {
		if cond[i] == '"' || cond[i] == '\'' {
			i = skipQuoted(cond, i)
			continue
		}
		if isDelimiter(cond[i]) {
			i++
			continue
		}
		start := i
		list, end := l.at(cond, start)
		if i = end; list == nil {
			continue
		}
		list.Used = true
		out = append(out, cond[done:start]...)
		if list.text == "" {
			out, i = dropComma(out, cond, i)
		}
		out = append(out, list.text...)
		done = i
	}
	if done == 0 {
		return cond
	}
	return string(append(out, cond[done:]...))
}

// at returns the list whose name starts at i, or nil, and where the name or word
// ends. The longest name wins.
func (l *lists) at(cond string, i int) (list *List, end int) {
	for end = i; end < len(cond) && !isDelimiter(cond[end]); {
		end++
	}
	list = l.byName[cond[i:end]]
	for _, named := range l.spaced {
		if after, ok := strings.CutPrefix(cond[i:], named.Name); ok && (after == "" || isDelimiter(after[0])) {
			return named, i + len(named.Name)
		}
	}
	return list, end
}

// dropComma removes the comma before an empty list that ends at i, or else the
// one after it, and returns where cond continues.
func dropComma(out []byte, cond string, i int) ([]byte, int) {
	if before, ok := bytes.CutSuffix(bytes.TrimRight(out, " \t\r\n"), []byte(",")); ok {
		return before, i
	}
	rest := strings.TrimLeft(cond[i:], " \t\r\n")
	if after, ok := strings.CutPrefix(rest, ","); ok {
		return out, len(cond) - len(strings.TrimLeft(after, " \t\r\n"))
	}
	return out, i
}

func isDelimiter(c byte) bool { return strings.IndexByte(" \t\n\r(),=", c) >= 0 }

// skipQuoted returns the index after the quoted string at i; a quote that is
// not closed is an ordinary character.
func skipQuoted(s string, i int) int { return i + max(1, filter.Quoted(s[i:])) }
