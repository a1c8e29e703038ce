package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EngineVersion is the version of Falco's engine whose language this package
// speaks.
const EngineVersion = "0.62.0"

// semver is a version MAJOR.MINOR.PATCH.
type semver [3]int

func parseSemver(s string) (semver, bool) {
	core, _, _ := strings.Cut(s, "-")
	core, _, _ = strings.Cut(core, "+")
	parts := strings.Split(core, ".")
	if len(parts) != 3 {
		return semver{}, false
	}
	var v semver
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 31)
		if err != nil {
			return semver{}, false
		}
		v[i] = int(n)
	}
	return v, true
}

func (v semver) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v semver) less(w semver) bool { return slices.Compare(v[:], w[:]) < 0 }

// compatible says whether v satisfies a requirement of version w.
func (v semver) compatible(w semver) bool { return v[0] == w[0] && !v.less(w) }

// engineVersion reads required_engine_version: N, which means 0.N.0, or
// "x.y.z".
func (r *reader) engineVersion(it item, file *place) error {
	it.place = file.at(it.Node, itemEngineVersion, "")
	s, err := it.text("required_engine_version")
	if err != nil {
		return err
	}
	r.unknownKeys(it, engineKeys)
	v, ok := parseSemver(s)
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		v, ok = semver{0, int(n), 0}, true
	}
	if !ok {
		return it.place.fail(ErrYAMLValidate, "Unable to parse engine version '%s' as a semver string. Expected \"x.y.z\" semver format.", s)
	}
	engine, _ := parseSemver(EngineVersion)
	if !engine.compatible(v) {
		return it.place.fail(ErrValidate, "Rules require engine version %s, but engine version is %s", v, engine)
	}
	if r.col.engine.less(v) {
		r.col.engine = v
	}
	return nil
}

// Plugin is a plugin in some version: one that rules require, or one that
// there is.
type Plugin struct{ Name, Version string }

func (r *reader) pluginVersions(it item, file *place) error {
	n := it.value("required_plugin_versions")
	at := file.at(n, itemPlugins, "")
	r.unknownKeys(it, pluginsKeys)
	content, err := r.sequence(n, at, "Value of required_plugin_versions must be a sequence")
	if err != nil {
		return err
	}
	for _, e := range content {
		if err := r.plugin(e, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) plugin(n *yaml.Node, parent *place) error {
	p, at, err := r.pluginEntry(n, parent, itemPlugin, "Plugin version must be a mapping", pluginKeys)
	if err != nil {
		return err
	}
	alternatives := []Plugin{p}
	if list := (item{Node: n, place: at, r: r}).value("alternatives"); list != nil {
		content, err := r.sequence(list, at, "Value of plugin version alternatives must be a sequence")
		if err != nil {
			return err
		}
		for _, e := range content {
			p, _, err := r.pluginEntry(e, at, itemAlternative, "Plugin version alternative must be a mapping", alternativeKeys)
			if err != nil {
				return err
			}
			alternatives = append(alternatives, p)
		}
	}
	return r.col.requirePlugin(alternatives, at)
}

func (r *reader) pluginEntry(n *yaml.Node, parent *place, itemType, notMapping string, known map[string]bool) (Plugin, *place, error) {
	it := item{Node: n, place: parent.at(n, itemType, ""), r: r}
	if n.Kind != yaml.MappingNode {
		return Plugin{}, nil, it.place.fail(ErrYAMLValidate, "%s", notMapping)
	}
	var p Plugin
	var err error
	if p.Name, err = it.text("name"); err != nil {
		return p, nil, err
	}
	it.place = parent.at(n, itemType, p.Name)
	r.unknownKeys(it, known)
	p.Version, err = it.text("version")
	return p, it.place, err
}

// satisfied says whether the plugins that there are include one of the
// alternatives.
func satisfied(alternatives, have []Plugin) bool {
	for _, want := range alternatives {
		w, _ := parseSemver(want.Version)
		for _, h := range have {
			if v, ok := parseSemver(h.Version); ok && h.Name == want.Name && v.compatible(w) {
				return true
			}
		}
	}
	return false
}

func (p Plugin) String() string { return p.Name + " (>= " + p.Version + ")" }
