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
	comments := testComments(t)
	rows, used := 0, map[string]bool{}
	for i, line := range strings.Split(read(t, "../docs/compatibility.md"), "\n") {
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
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go", "*/*/*/*_test.go", "../test/*/*_test.go", "../test/*/*/*_test.go", "../deploy/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range function.FindAllStringSubmatch(read(t, file), -1) {
				comments[fmt.Sprintf("%s.%s", filepath.Base(dir), m[2])] = m[1]
			}
		}
	}
	return comments
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
