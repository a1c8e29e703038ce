package internal

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/dependencies.md has a row for each direct dependency, and no other. The
// row names the packages that import it.
func TestDependenciesAreExplained(t *testing.T) {
	rows := map[string]string{} // the second column, by module
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+/\S+) \| ([^|]+) \|`).FindAllStringSubmatch(read(t, "../docs/dependencies.md"), -1) {
		rows[m[1]] = m[2]
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+/\S+) v\S+$`).FindAllStringSubmatch(read(t, "../go.mod"), -1)
	packages := listPackages(t, "./...", supports)
	for _, m := range direct {
		users, ok := rows[m[1]]
		if !ok {
			t.Errorf("dependencies.md has no row for %s", m[1])
			continue
		}
		delete(rows, m[1])
		checkUsers(t, m[1], users, packages)
	}
	for m := range rows {
		t.Errorf("dependencies.md has a row for %s, which is no direct dependency", m)
	}
	if len(direct) < 10 {
		t.Errorf("%d direct dependencies", len(direct))
	}
}

// checkUsers compares the packages that a row names, each with those below it,
// with those that import the module.
func checkUsers(t *testing.T, dependency, users string, packages []goPackage) {
	t.Helper()
	unused := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(users, -1) {
		unused[m[1]] = true
	}
	if len(unused) == 0 && users != "tests" {
		return // in words
	}
	named := slices.Collect(maps.Keys(unused))
	for _, p := range packages {
		if !slices.ContainsFunc(p.external, func(path string) bool { return below(path, dependency) }) {
			continue
		}
		if i := slices.IndexFunc(named, func(name string) bool { return below(p.path, name) }); i >= 0 {
			delete(unused, named[i])
		} else {
			t.Errorf("dependencies.md: %s uses %s too", p.path, dependency)
		}
	}
	for name := range unused {
		t.Errorf("dependencies.md: %s does not use %s", name, dependency)
	}
}

// below says whether a path is the given one, or below it.
func below(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }
