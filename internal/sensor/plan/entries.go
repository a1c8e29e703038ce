package plan

import (
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// entryParams are the paths of calls on entries of directories, by kind. The
// probe looks only at paths that lead through directories alone
// (probe/bpf/entryfilter.h). It knows which names user space will find for these,
// since the calls pass no link and follow none.
var entryParams = map[event.Kind][]string{
	event.KindUnlink: {"path"}, event.KindUnlinkat: {"name"}, event.KindRmdir: {"path"},
	event.KindMkdir: {"path"}, event.KindMkdirat: {"path"}, event.KindMknod: {"path"}, event.KindMknodat: {"path"},
	event.KindRename: {"oldpath", "newpath"}, event.KindRenameat: {"oldpath", "newpath"}, event.KindRenameat2: {"oldpath", "newpath"},
	event.KindLink: {"oldpath", "newpath"}, event.KindLinkat: {"oldpath", "newpath"},
}

// fileParams are the same of calls on what a file is. User space does not look at
// these paths before it evaluates rules: a single name may be that of a link.
var fileParams = map[event.Kind][]string{
	event.KindChmod: {"filename"}, event.KindFchmodat: {"filename"}, event.KindFchmodat2: {"filename"},
	event.KindChown: {"path"}, event.KindLchown: {"path"}, event.KindFchownat: {"pathname"},
	event.KindAccess: {"name"}, event.KindStat: {"path"}, event.KindLstat: {"path"}, event.KindNewfstatat: {"path"},
	event.KindTruncate: {"path"}, event.KindSetxattr: {"path"}, event.KindLsetxattr: {"path"}, event.KindSetxattrat: {"path"},
}

// pathKinds are the kinds of entryParams and fileParams; each has two bits of the
// facts of a group.
var pathKinds = func() (kinds []event.Kind) {
	for kind := range event.Kind(event.NumKinds) {
		if pathParams(kind) != nil {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}()

// pathParams are the paths of a call of a kind that the probe looks at.
func pathParams(kind event.Kind) []string {
	if params := entryParams[kind]; params != nil {
		return params
	}
	return fileParams[kind]
}

// alwaysSent, in Calls, is not a need: it makes the probe send all calls.
const alwaysSent = event.UncleanPath

// pathCall is a call with paths that failed, or did not.
type pathCall struct{ anyCall }

// path knows the fields that read the call's own paths. fd.name is not one of
// them: it is the name of the directory's descriptor.
func (e pathCall) path(name string, op filter.Op, value string) []clause {
	param, isParam := strings.CutPrefix(name, "evt.arg.")
	switch {
	case isParam && slices.Contains(pathParams(e.kind), param), name == "evt.abspath",
		name == "fs.path.name", name == "fs.path.source", name == "fs.path.target":
		return nameNeed(op, value)
	case name == "fs.path.nameraw", name == "fs.path.sourceraw", name == "fs.path.targetraw":
		return pathNeed("fs.path.nameraw", op, value)
	}
	return nil
}

// pathCallNeeds are the needs of the rules about such calls, as addCalls takes them.
func pathCallNeeds(list []*rules.Rule) groups {
	all := groups{}
	for _, rule := range list {
		for i, kind := range pathKinds {
			node := filter.Specialise(rule.Node, kind, 0)
			if filter.IsFalse(node) {
				continue
			}
			for result, facts := range []event.CallFacts{0, event.CallSuccess} {
				if n := needOf(node, pathCall{anyCall{kind: kind, facts: facts}}, false); !n.never() {
					all.add(n, 1<<(2*i+result))
				}
			}
		}
	}
	return all
}

// addCalls gives bits to the needs of calls, starting with the bit next; it returns
// the bit behind them. A group's facts are the kinds and results: of kinds[i], bit
// 2i if it failed, else 2i+1. Without needs (nil), or with more than there are bits,
// all calls are needed.
func (o *Opens) addCalls(masks map[pathset.Pattern]pathset.Clauses, kinds []event.Kind, calls groups, next int) int {
	list := calls.list()
	if calls == nil || next+len(list) > maxGroups {
		list = []group{{facts: ^uint64(0)}}
	}
	for _, g := range list {
		bit := uint64(1) << next
		if g.need.always() {
			bit = alwaysSent
		} else {
			o.require(masks, g.need, bit)
			next++
		}
		for i, kind := range kinds {
			for result := range 2 {
				if g.facts&(1<<(2*i+result)) != 0 {
					o.Calls[kind][result] |= bit
				}
			}
		}
	}
	return next
}

// pathSlots are where events have the paths of pathParams, and the directories
// that these start from.
var pathSlots = func() (slots [event.NumKinds][]struct{ path, base int }) {
	for _, kind := range pathKinds {
		for i, name := range pathParams(kind) {
			base := []string{"base", "base2"}[i]
			slots[kind] = append(slots[kind], struct{ path, base int }{kind.Info().Slot(name), kind.Info().Slot(base)})
		}
	}
	return slots
}()

// neededEntry is NeededEvent for all events but opens.
func (o *Opens) neededEntry(v *event.View, name string) bool {
	switch kind := v.Kind(); {
	case isSocketKind[kind]:
		return o.neededUnix(v, name)
	case entryParams[kind] == nil:
		return true
	}
	return o.neededCall(v, name)
}

// neededCall is NeededEvent for calls of pathKinds whose paths end in no link that
// they follow.
func (o *Opens) neededCall(v *event.View, name string) bool {
	result := 0
	if v.Header().Res >= 0 {
		result = 1
	}
	needs := o.Calls[v.Kind()][result]
	if needs == 0 || needs&alwaysSent != 0 {
		return needs != 0
	}
	var paths pathset.Clauses
	for _, s := range pathSlots[v.Kind()] {
		path, _ := v.Str(s.path)
		base, ok := v.Str(s.base)
		if !ok || !isName(path) || len(base)+len(path) >= field.MaxPath {
			return true
		}
		paths.Also(o.Paths.Match(path))
		for i := range event.Views(base).Len() {
			paths.Also(o.Paths.MatchJoined(event.Views(base).At(i), path))
		}
	}
	paths.Excluded = 0 // nothing excludes such calls
	return paths.Met[0]&event.UncleanPath != 0 || o.met(needs, name, paths)
}

// isName says whether a path is the name of an entry of a directory.
func isName(path string) bool {
	return path != "" && path != "." && path != ".." && !strings.Contains(path, "/")
}
