package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Opens tells the probe which calls of open, openat and openat2 no rule can
// match, so that it need not send them: most events of a host are these.
//
// What the probe knows of an open besides its path are a few bits; each of
// their combinations (Facts) has a bit in every mask below. For each
// combination, every rule that may match needs something of the path (or of
// the name of the program) that its condition cannot do without: the
// condition's projection onto path and name. The probe sends an open if any
// rule's need may be met.
type Opens struct {
	// Paths finds the needs about paths. The probe feeds it the path as given
	// and, where that led elsewhere, the path as resolved.
	Paths *pathset.Set
	// Names has, by proc.name, the combinations in which such a program's
	// opens are needed whatever their path.
	Names map[string]uint64
	// Always has the combinations in which every open is needed.
	Always uint64
}

// Facts is a combination of what the probe knows of an open; its value is a bit
// number in the masks of Opens. probe/bpf/open.bpf.c computes the same.
type Facts uint8

// The facts. An open with O_PATH or O_TMPFILE has none: it is always sent.
const (
	Read      Facts = 1 << iota // evt.is_open_read
	Write                       // evt.is_open_write
	Success                     // a descriptor was returned
	Directory                   // and it is a directory
	Create                      // O_CREAT
	Truncate                    // O_TRUNC
	numFacts
)

// filteredKinds are the kinds that Opens speaks of.
var filteredKinds = []event.Kind{event.KindOpen, event.KindOpenat, event.KindOpenat2}

// unclean are parts of a path that make fd.name differ from the text that was
// given; such opens are always sent, so that a pattern on fd.name may be
// looked for in the given text.
var unclean = []pathset.Pattern{
	{Text: "//", Kind: pathset.Contains}, {Text: "/./", Kind: pathset.Contains}, {Text: "/../", Kind: pathset.Contains},
	{Text: "/.", Kind: pathset.Suffix}, {Text: "/..", Kind: pathset.Suffix}, {Text: "/", Kind: pathset.Suffix},
}

// need is what a condition cannot do without: one of the patterns, or one of
// the names. Without either it is met by everything.
type need struct {
	always   bool
	patterns []pathset.Pattern
	names    []string
}

func (n need) cost() int {
	if n.always {
		return 1 << 30
	}
	return len(n.patterns) + len(n.names)
}

// NewOpens derives the filter from the rules. If the patterns do not fit into
// the probe's tables, every open is needed, and the error says so.
func NewOpens(list []*rules.Rule) (*Opens, error) {
	o := &Opens{Names: map[string]uint64{}}
	masks := map[pathset.Pattern]uint64{}
	for _, p := range unclean {
		masks[p] = ^uint64(0)
	}
	for _, rule := range list {
		for _, kind := range filteredKinds {
			node := filter.Specialise(rule.Node, kind, 0)
			for facts := range numFacts {
				o.require(masks, needOf(node, facts, false), 1<<facts)
			}
		}
	}
	var patterns []pathset.Pattern
	for p, mask := range masks {
		p.Mask = mask
		patterns = append(patterns, p)
	}
	slices.SortFunc(patterns, func(a, b pathset.Pattern) int { return strings.Compare(a.Text, b.Text) })
	set, err := pathset.New(patterns)
	if err != nil {
		return &Opens{Always: ^uint64(0)}, fmt.Errorf("filter opens in the kernel: %w", err)
	}
	o.Paths = set
	return o, nil
}

func (o *Opens) require(masks map[pathset.Pattern]uint64, n need, mask uint64) {
	if n.always {
		o.Always |= mask
	}
	for _, p := range n.patterns {
		masks[p] |= mask
	}
	for _, name := range n.names {
		o.Names[name] |= mask
	}
}

// Needed says whether any rule may match an open with these facts, by a
// program of this name, of any of these paths: the one that was given and, if
// it led elsewhere, the resolved one.
func (o *Opens) Needed(facts Facts, name string, paths ...string) bool {
	bit := uint64(1) << facts
	if o.Always&bit != 0 {
		return true
	}
	for _, path := range paths {
		if o.path(path)&bit != 0 {
			return true
		}
	}
	return o.Names[name]&bit != 0
}

// path has the combinations in which an open of path is needed. A relative
// path says nothing about fd.name.
func (o *Opens) path(path string) uint64 {
	if path == "" || path[0] != '/' {
		return ^uint64(0)
	}
	return o.Paths.Match(path)
}

// NeededEvent is Needed for an open as it arrives, by a program called name.
// It is true for events of other kinds.
func (o *Opens) NeededEvent(v *event.View, name string) bool {
	slots := &openSlots[v.Kind()]
	if slots.path == 0 {
		return true
	}
	var file event.FileInfo
	v.FileInfo(v.Info().File, &file)
	facts, ok := factsOf(v.Uint(slots.flags), v.Int(0), &file)
	path, given := v.Str(slots.path)
	if !ok || !given {
		return true
	}
	bit := uint64(1) << facts
	return o.Always&bit != 0 || o.path(path)&bit != 0 ||
		file.Path() != "" && o.path(file.Path())&bit != 0 ||
		o.Names[name]&bit != 0
}

// Flags of opens, as events carry them (libs: PPM_O_*).
const (
	flagRead     = 1 << 0
	flagWrite    = 1 << 1
	flagCreate   = 1 << 2
	flagTruncate = 1 << 8
	flagTmpfile  = 1 << 13 // also set for O_DIRECTORY, a part of O_TMPFILE
)

// factsOf is false for O_TMPFILE, whose descriptor has the name of a
// directory: nothing is known of it.
func factsOf(flags uint64, fd int64, file *event.FileInfo) (Facts, bool) {
	facts := Facts(flags & (flagRead | flagWrite)) // the same bits
	if facts&Write != 0 && flags&flagTmpfile != 0 {
		return 0, false
	}
	if fd >= 0 {
		facts |= Success
		if file.Type == event.FDDirectory {
			facts |= Directory
		}
	}
	if flags&flagCreate != 0 {
		facts |= Create
	}
	if flags&flagTruncate != 0 {
		facts |= Truncate
	}
	return facts, true
}

// openSlots are where filteredKinds have path and flags; 0 for other kinds.
var openSlots = func() (s [event.NumKinds]struct{ path, flags int }) {
	for _, k := range filteredKinds {
		s[k].path, s[k].flags = k.Info().Slot("name"), k.Info().Slot("flags")
	}
	return s
}()

// needOf returns what node, or its negation, cannot do without in an open
// with the given facts.
func needOf(node filter.Node, facts Facts, negated bool) need {
	switch n := node.(type) {
	case *filter.Not:
		return needOf(n.Node, facts, !negated)
	case *filter.And:
		return needOfList(n.Nodes, facts, negated, !negated)
	case *filter.Or:
		return needOfList(n.Nodes, facts, negated, negated)
	case *filter.Const:
		return need{always: n.Value != negated}
	case *filter.Check:
		return needOfCheck(n, facts, negated)
	}
	return need{always: true}
}

// needOfList: of a conjunction any one part's need will do, and the smallest
// is taken; of a disjunction all are needed.
func needOfList(nodes []filter.Node, facts Facts, negated, and bool) need {
	var all need
	best := need{always: true}
	for _, node := range nodes {
		n := needOf(node, facts, negated)
		if n.cost() < best.cost() {
			best = n
		}
		all.always = all.always || n.always
		all.patterns = append(all.patterns, n.patterns...)
		all.names = append(all.names, n.names...)
	}
	if and {
		return best
	}
	return all
}

func needOfCheck(c *filter.Check, facts Facts, negated bool) need {
	f, ok := c.Left.(*filter.Field)
	if !ok || c.Right != nil || c.Modifier != filter.NoModifier {
		return need{always: true}
	}
	if value, known := decide(f, c, facts); known {
		return need{always: value != negated}
	}
	if negated {
		return need{always: true}
	}
	if f.Name == "proc.name" && (c.Op == filter.Eq || c.Op == filter.EqEq || c.Op == filter.In) {
		return need{names: texts(c)}
	}
	var n need
	for _, value := range texts(c) {
		patterns, ok := patternsFor(f.Name, c.Op, value)
		if !ok {
			return need{always: true}
		}
		n.patterns = append(n.patterns, patterns...)
	}
	if len(n.patterns) == 0 {
		n.always = c.Op != filter.In // an empty list is never matched
	}
	return n
}

func texts(c *filter.Check) []string {
	var list []string
	for _, v := range c.Values {
		list = append(list, v.Text)
	}
	return list
}

// patternsFor returns patterns of which one occurs in every path for which
// the check of the named field with value is true; false if there are none.
func patternsFor(name string, op filter.Op, value string) ([]pathset.Pattern, bool) {
	switch name {
	case "fd.name", "fd.nameraw", "fs.path.name", "fs.path.nameraw", "evt.arg.name":
		return namePatterns(op, value)
	case "fd.directory":
		if op != filter.Eq && op != filter.EqEq && op != filter.In && op != filter.StartsWith {
			return nil, false
		}
		return []pathset.Pattern{{Text: value, Kind: pathset.Prefix}}, true
	case "fd.filename":
		if op != filter.Eq && op != filter.EqEq && op != filter.In {
			return nil, false
		}
		return []pathset.Pattern{{Text: "/" + value, Kind: pathset.Suffix}}, true
	}
	return nil, false
}

func namePatterns(op filter.Op, value string) ([]pathset.Pattern, bool) {
	one := func(kind pathset.Kind, text string) ([]pathset.Pattern, bool) {
		return []pathset.Pattern{{Text: text, Kind: kind}}, true
	}
	switch op {
	case filter.Eq, filter.EqEq, filter.In:
		return one(pathset.Exact, value)
	case filter.StartsWith:
		return one(pathset.Prefix, value)
	case filter.EndsWith:
		return one(pathset.Suffix, value)
	case filter.Contains:
		return one(pathset.Contains, value)
	case filter.PMatch, filter.Glob:
		if i := strings.IndexAny(value, `*?[\`); i >= 0 {
			value = value[:i]
		} else if op == filter.PMatch {
			value = strings.TrimRight(value, "/")
		}
		if op == filter.PMatch && (!strings.HasPrefix(value, "/") && value != "" || strings.Contains(value, "//")) {
			return nil, false // its components are compared, not its text
		}
		return one(pathset.Prefix, value)
	}
	return nil, false
}

// decide returns the value of a check that the facts settle.
func decide(f *filter.Field, c *filter.Check, facts Facts) (value, known bool) {
	has := func(bit Facts) bool { return facts&bit != 0 }
	single := ""
	if len(c.Values) == 1 {
		single = c.Values[0].Text
	}
	switch f.Name {
	case "evt.is_open_read":
		return boolean(c.Op, single, has(Read))
	case "evt.is_open_write":
		return boolean(c.Op, single, has(Write))
	case "evt.failed":
		return boolean(c.Op, single, !has(Success))
	case "fd.num", "evt.rawres":
		return sign(c.Op, single, has(Success))
	case "evt.res":
		return result(c, has(Success))
	case "fd.typechar":
		return typechar(c, has(Success), has(Directory))
	case "evt.arg.flags":
		if c.Op != filter.Contains {
			return false, false
		}
		switch single {
		case "O_CREAT":
			return has(Create), true
		case "O_TRUNC":
			return has(Truncate), true
		}
	}
	return false, false
}

func boolean(op filter.Op, text string, value bool) (bool, bool) {
	want := text == "true"
	if !want && text != "false" {
		return false, false
	}
	switch op {
	case filter.Eq, filter.EqEq:
		return value == want, true
	case filter.NotEq:
		return value != want, true
	}
	return false, false
}

// sign decides a comparison of a result that is known to be at least 0, or
// below it, with a number.
func sign(op filter.Op, text string, success bool) (value, known bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, false
	}
	switch {
	case success && n < 0: // x >= 0 > n
		return op == filter.Greater || op == filter.GreaterEq || op == filter.NotEq, isComparison(op)
	case success && n == 0 && (op == filter.GreaterEq || op == filter.Less):
		return op == filter.GreaterEq, true
	case !success && n >= 0: // x < 0 <= n
		return op == filter.Less || op == filter.LessEq || op == filter.NotEq, isComparison(op)
	}
	return false, false
}

func isComparison(op filter.Op) bool {
	return slices.Contains([]filter.Op{
		filter.Eq, filter.EqEq, filter.NotEq, filter.Less, filter.LessEq, filter.Greater, filter.GreaterEq,
	}, op)
}

func result(c *filter.Check, success bool) (value, known bool) {
	if c.Op != filter.Eq && c.Op != filter.EqEq || len(c.Values) != 1 {
		return false, false
	}
	if isSuccess := c.Values[0].Text == "SUCCESS"; isSuccess != success {
		return false, true
	} else if isSuccess {
		return true, true
	}
	return false, false
}

// typechar decides only what cannot be otherwise: a directory is no file, and
// nothing that was opened by name and is no directory has typechar d.
func typechar(c *filter.Check, success, directory bool) (value, known bool) {
	if !success || c.Op != filter.Eq && c.Op != filter.EqEq || len(c.Values) != 1 {
		return false, false
	}
	switch c.Values[0].Text {
	case "d":
		return directory, true
	case "f":
		if directory {
			return false, true
		}
	}
	return false, false
}
