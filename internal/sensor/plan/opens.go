package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Opens tells the probe which calls of open, openat and openat2 no rule can
// match, so that it does not send them: most events of a host are opens.
//
// Besides the path, the probe knows a few facts about an open. For each
// combination of facts, a rule has a need: the projection of its condition onto
// paths and the program's name, as a few clauses, all of which must be met. Each
// group of needs has a bit in the masks below. The probe sends an open if the need
// of any rule may be met.
type Opens struct {
	// Paths finds the clauses that paths meet. The probe runs it over the path as
	// given, that path made absolute, and, if it led elsewhere, the path as
	// resolved, and combines the results: different parts of a rule may be about
	// different names of the file.
	Paths *pathset.Set
	// Facts has the needs that exist for each combination of facts.
	Facts [event.NumOpenFacts]uint64
	// Rest has the clauses that are always met: those that a need does not have.
	Rest [pathset.NumClauses]uint64
	// Names has, by proc.name, the needs whose first clause a program of this
	// name meets, for any path.
	Names map[string]uint64
	// Always has the combinations (a bit each) in which every open is needed.
	Always uint64
	// Calls has the needs of other calls, by kind, of failed and of successful
	// ones: of those with paths (entries.go), and of those on unix sockets
	// (unixsockets.go).
	Calls [event.NumKinds][2]uint64
}

// filteredKinds are the kinds that Opens is about.
var filteredKinds = []event.Kind{event.KindOpen, event.KindOpenat, event.KindOpenat2}

// unclean are parts of a path that make fd.name differ from the text that was
// given. Such opens are sent if any need exists, so that patterns on fd.name can be
// searched in the given text.
var unclean = []pathset.Pattern{
	{Text: "//", Kind: pathset.Contains}, {Text: "/./", Kind: pathset.Contains}, {Text: "/../", Kind: pathset.Contains},
	{Text: "/.", Kind: pathset.Suffix}, {Text: "/..", Kind: pathset.Suffix},
}

// NewOpens derives the filter from the rules. If the patterns do not fit into
// the probe's tables, those for sockets are left out, then those for other calls
// than opens, and then all: every open is needed, and the error says so.
func NewOpens(list []*rules.Rule) (*Opens, error) {
	entries := pathCallNeeds(list)
	if o, err := newOpens(list, entries, unixNeeds(list)); err == nil {
		return o, nil
	}
	if o, err := newOpens(list, entries, nil); err == nil {
		return o, nil
	}
	return newOpens(list, nil, nil)
}

func newOpens(list []*rules.Rule, entries, sockets groups) (*Opens, error) {
	o, all := &Opens{Names: map[string]uint64{}}, groups{}
	for _, rule := range list {
		for _, g := range openNeeds(rule.Node) {
			switch {
			case g.need.always():
				o.Always |= g.facts
			case !g.need.never():
				all.add(g.need, g.facts)
			}
		}
	}
	masks := map[pathset.Pattern]pathset.Clauses{}
	next := 0
	for _, g := range all.list() {
		o.ofOpens(g.facts, 1<<next)
		o.require(masks, g.need, 1<<next)
		next++
	}
	next = o.addCalls(masks, pathKinds, entries, next)
	o.addCalls(masks, socketKinds, sockets, next)
	for _, p := range unclean {
		mask := masks[p]
		mask.Met[0] |= event.UncleanPath
		masks[p] = mask
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

// ofOpens gives a need's bit to opens with these facts.
func (o *Opens) ofOpens(facts, bit uint64) {
	for f := range event.NumOpenFacts {
		if facts&(1<<f) != 0 {
			o.Facts[f] |= bit
		}
	}
}

// sendAll makes the probe send all calls of a kind, which users asked for; of an
// open all opens, since all kinds of them have the same needs.
func (o *Opens) sendAll(kind event.Kind) {
	switch {
	case slices.Contains(filteredKinds, kind):
		o.Always = ^uint64(0)
	case pathParams(kind) != nil, isSocketKind[kind]:
		o.Calls[kind] = [2]uint64{alwaysSent, alwaysSent}
	}
}

// require gives a need its bit.
func (o *Opens) require(masks map[pathset.Pattern]pathset.Clauses, n need, bit uint64) {
	for c := range pathset.NumClauses {
		if c >= len(n.clauses) {
			o.Rest[c] |= bit
			continue
		}
		for _, p := range n.clauses[c].patterns {
			mask := masks[p]
			mask.Met[c] |= bit
			masks[p] = mask
		}
	}
	for _, p := range n.excluded.patterns {
		mask := masks[p]
		mask.Excluded |= bit
		masks[p] = mask
	}
	names, _ := n.names()
	for _, name := range names {
		o.Names[name] |= bit
	}
}

// openNeeds are the needs of a condition in all combinations of facts. Most of
// these look alike to its checks, and are looked at once.
func openNeeds(n filter.Node) (list []group) {
	for _, kind := range filteredKinds {
		node := filter.Specialise(n, kind, 0)
		if filter.IsFalse(node) {
			continue
		}
		var checks []*filter.Check
		filter.Walk(node, func(n filter.Node) {
			if c, ok := n.(*filter.Check); ok {
				checks = append(checks, c)
			}
		})
		alike := map[string]int{}
		for facts := range event.NumOpenFacts {
			key := decided(checks, openCall(facts))
			i, ok := alike[key]
			if !ok {
				i = len(list)
				alike[key] = i
				list = append(list, group{need: needOf(node, openCall(facts), false)})
			}
			list[i].facts |= 1 << facts
		}
	}
	return list
}

// decided says what facts make of checks.
func decided(checks []*filter.Check, call facts) string {
	key := make([]byte, len(checks))
	for i, c := range checks {
		f, ok := c.Left.(*filter.Field)
		if !ok {
			continue
		}
		switch value, known := call.decide(f, c); {
		case known && value:
			key[i] = 2
		case known:
			key[i] = 1
		}
	}
	return string(key)
}

// OpenChecks are the checks of a condition by which the probe rules opens out:
// those that the needs of the condition come from. Where a check stands twice
// in the condition, as one pointer, both are meant.
func OpenChecks(n filter.Node) map[*filter.Check]bool {
	used := map[*filter.Check]bool{}
	for _, g := range openNeeds(n) {
		for _, c := range g.need.checks() {
			used[c] = true
		}
	}
	return used
}

// asked says whether any open that succeeded, or failed, may be needed.
func (o *Opens) asked(success bool) bool {
	for f, needs := range o.Facts {
		f := event.OpenFacts(f)
		if (f&event.FactSuccess != 0) == success && (needs != 0 || o.Always&(1<<f) != 0) {
			return true
		}
	}
	return false
}

// NeededEvent says whether any rule may match an open, by a program called
// name: by the path that was given, if it is relative also by the absolute one,
// and if it led elsewhere by the resolved one. Of calls on entries of directories
// and on unix sockets it says the same. It is true for other events.
func (o *Opens) NeededEvent(v *event.View, name string) bool {
	slots := &openSlots[v.Kind()]
	if slots.path == 0 {
		return o.neededEntry(v, name)
	}
	var file event.FileInfo
	v.FileInfo(v.Info().File, &file)
	facts, ok := factsOf(v.Uint(slots.flags), v.Uint(slots.mode), v.Int(0), &file)
	path, given := v.Str(slots.path)
	if !ok || !given || path == "" || len(path) >= field.MaxPath-1 { // whose name is another, or none
		return true
	}
	paths := o.Paths.Match(path)
	if path[0] != '/' {
		base, ok := v.Str(v.Info().Base)
		if !ok {
			return true
		}
		if len(base)+len(path) >= field.MaxPath {
			return true
		}
		paths.Excluded = ^uint64(0) // it is part of a name
		views := event.Views(base)
		for i := range views.Len() {
			if path == ".." && views.Len() == 1 { // its name is clean
				paths.Also(o.Paths.Match(filepath.Dir(views.At(i))))
				continue
			}
			paths.Also(o.Paths.MatchJoined(views.At(i), path))
		}
	}
	for i := range file.Views().Len() {
		paths.Also(o.Paths.Match(file.Views().At(i)))
	}
	return o.needed(facts, name, paths)
}

// needed says whether an open with these facts is, by a program of this name,
// whose paths meet these clauses.
func (o *Opens) needed(facts event.OpenFacts, name string, paths pathset.Clauses) bool {
	needs := o.Facts[facts]
	if needs == 0 || paths.Met[0]&event.UncleanPath != 0 {
		return needs != 0 || o.Always&(1<<facts) != 0
	}
	return o.met(needs, name, paths) || o.Always&(1<<facts) != 0
}

// met says whether paths, and a program of this name, meet all clauses of one of
// these needs.
func (o *Opens) met(needs uint64, name string, paths pathset.Clauses) bool {
	needs &= (paths.Met[0] | o.Rest[0] | o.Names[name]) &^ paths.Excluded
	for c := 1; c < pathset.NumClauses; c++ {
		needs &= paths.Met[c] | o.Rest[c]
	}
	return needs != 0
}

// factsOf is false for O_TMPFILE, whose descriptor has the name of a
// directory, and for a directory that O_CREAT and O_PATH opened: nothing is
// known of them.
func factsOf(flags, mode uint64, fd int64, file *event.FileInfo) (event.OpenFacts, bool) {
	facts := event.OpenFacts(flags & (event.OpenRead | event.OpenWrite)) // the same bits
	if facts&event.FactWrite != 0 && flags&event.OpenTmpfile != 0 {
		return 0, false
	}
	create := flags&event.OpenCreat != 0
	if fd >= 0 {
		facts |= event.FactSuccess
		if file.Type == event.FDDirectory {
			if create {
				return 0, false
			}
			facts |= event.FactDirectory
		}
	}
	if create {
		facts |= event.FactCreate
		if mode >= setgid {
			facts |= event.FactDirectory
		}
	}
	if flags&event.OpenTrunc != 0 {
		facts |= event.FactTruncate
	}
	return facts, true
}

// openSlots are where filteredKinds have path, flags and mode; 0 for other
// kinds.
var openSlots = func() (s [event.NumKinds]struct{ path, flags, mode int }) {
	for _, k := range filteredKinds {
		s[k].path, s[k].flags, s[k].mode = k.Info().Slot("name"), k.Info().Slot("flags"), k.Info().Slot("mode")
	}
	return s
}()
