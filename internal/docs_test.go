package internal

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named finds the tests that a page names, as `sensor.TestEvasions`.
var named = regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

// Every difference from Falco that docs/compatibility.md lists is shown by a
// test: each row names one, and its comment says so.
func TestCompatibilityIsTested(t *testing.T) {
	page, err := os.ReadFile("../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	comments := testComments(t)
	rows, used := 0, map[string]bool{}
	for i, line := range strings.Split(string(page), "\n") {
		tests := named.FindAllStringSubmatch(line, -1)
		row := strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|---") && !strings.HasSuffix(line, "| test |")
		if row {
			rows++
		}
		if row && len(tests) == 0 {
			t.Errorf("compatibility.md:%d: the row names no test: %.60s", i+1, line)
		}
		for _, m := range tests {
			name := m[1] + "." + m[2]
			used[name] = true
			comment, ok := comments[name]
			switch {
			case !ok:
				t.Errorf("compatibility.md:%d: there is no test %s", i+1, name)
			case !strings.Contains(comment, compatibility):
				t.Errorf("compatibility.md:%d: the comment of %s does not say that it shows a row of %s", i+1, name, compatibility)
			}
		}
	}
	for name, comment := range comments {
		if strings.Contains(comment, "of "+compatibility) && !used[name] {
			t.Errorf("%s shows a row of %s that does not name it", name, compatibility)
		}
	}
	if rows < 30 {
		t.Errorf("%d rows", rows)
	}
}

// compatibility is the page in the comments of the tests that its rows name.
const compatibility = "docs/compatibility.md"

// testComments are the comments of all tests, by "package.TestName".
func testComments(t *testing.T) map[string]string {
	t.Helper()
	function := regexp.MustCompile(`(?m)((?:^//.*\n)*)^func ((?:Test|Fuzz)\w+)\(`)
	comments := map[string]string{}
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go", "../test/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range function.FindAllStringSubmatch(string(text), -1) {
				comments[fmt.Sprintf("%s.%s", filepath.Base(dir), m[2])] = m[1]
			}
		}
	}
	return comments
}

// docs/dependencies.md has a row for each direct dependency, and no other.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+/\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		direct[m[1]] = true
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+/\S+) \|`).FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = true
	}
	for m := range direct {
		if !rows[m] {
			t.Errorf("dependencies.md has no row for %s", m)
		}
	}
	for m := range rows {
		if !direct[m] {
			t.Errorf("dependencies.md has a row for %s, which is no direct dependency", m)
		}
	}
	if len(direct) < 10 {
		t.Errorf("%d direct dependencies", len(direct))
	}
}
