package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// Opens tells the probe which calls of open, openat and openat2 no rule can
// match, so that it need not send them: most events of a host are these.
//
// Besides the path, the probe knows a few bits about an open; each combination
// of them (Facts) has a bit in every mask below. For each combination, a rule
// has a necessary condition on the path or the program's name: the projection
// of its condition onto path and name. The probe sends an open if any rule's
// need may be met.
type Opens struct {
	// Paths finds the needs about paths. The probe feeds it the path as given,
	// that path made absolute, and, where it led elsewhere, the path as
	// resolved.
	Paths *pathset.Set
	// Names has, by proc.name, the combinations in which such a program's
	// opens are needed whatever their path.
	Names map[string]uint64
	// Always has the combinations in which every open is needed.
	Always uint64
}

// filteredKinds are the kinds that Opens speaks of.
var filteredKinds = []event.Kind{event.KindOpen, event.KindOpenat, event.KindOpenat2}

// unclean are parts of a path that make fd.name differ from the text that was
// given; such opens are always sent, so that a pattern on fd.name may be
// looked for in the given text.
var unclean = []pathset.Pattern{
	{Text: "//", Kind: pathset.Contains}, {Text: "/./", Kind: pathset.Contains}, {Text: "/../", Kind: pathset.Contains},
	{Text: "/.", Kind: pathset.Suffix}, {Text: "/..", Kind: pathset.Suffix}, {Text: "/", Kind: pathset.Suffix},
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
			for facts := range event.NumOpenFacts {
				o.require(masks, needOf(node, openCall(facts), false), 1<<facts)
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

// OpenChecks are the checks of a condition by which the probe rules opens out:
// those that the needs of the condition come from. Where a check stands twice
// in the condition, as one pointer, both are meant.
func OpenChecks(n filter.Node) map[*filter.Check]bool {
	used := map[*filter.Check]bool{}
	for _, kind := range filteredKinds {
		node := filter.Specialise(n, kind, 0)
		for facts := range event.NumOpenFacts {
			for _, c := range needOf(node, openCall(facts), false).by {
				used[c] = true
			}
		}
	}
	return used
}

// NeededEvent says whether any rule may match an open, by a program called
// name: by the path that was given, if it is relative also by the absolute one,
// and if it led elsewhere by the resolved one. It is true for events of other
// kinds.
func (o *Opens) NeededEvent(v *event.View, name string) bool {
	slots := &openSlots[v.Kind()]
	if slots.path == 0 {
		return true
	}
	var file event.FileInfo
	v.FileInfo(v.Info().File, &file)
	facts, ok := factsOf(v.Uint(slots.flags), v.Uint(slots.mode), v.Int(0), &file)
	path, given := v.Str(slots.path)
	if !ok || !given || path == "" || len(path) >= field.MaxPath-1 { // whose name is another, or none
		return true
	}
	mask := o.Paths.Match(path)
	if path[0] != '/' {
		base, ok := v.Str(v.Info().Base)
		if !ok {
			return true
		}
		if len(base)+len(path) >= field.MaxPath {
			return true
		}
		for i := range event.Views(base).Len() {
			mask |= o.Paths.MatchJoined(event.Views(base).At(i), path)
		}
	}
	for i := range file.Views().Len() {
		mask |= o.Paths.Match(file.Views().At(i))
	}
	return o.needed(facts, name, mask)
}

// needed says whether an open with these facts is, by a program of this name,
// whose paths have these combinations.
func (o *Opens) needed(facts event.OpenFacts, name string, paths uint64) bool {
	bit := uint64(1) << facts
	return (o.Always|paths|o.Names[name])&bit != 0
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
