package leaks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestDescriptors(t *testing.T) {
	before := open()
	file, err := os.Create(t.TempDir() + "/left open")
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(before, open()); err == nil || !strings.Contains(err.Error(), "1 descriptors of "+file.Name()+", 0 before") {
		t.Errorf("an open file: %v", err)
	}
	file.Close()
	if err := settled(before); err != nil {
		t.Error(err)
	}
	runtime := map[string]int{"anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1}
	if err := compare(nil, runtime); err != nil {
		t.Errorf("the runtime's own: %v", err)
	}
	runtime["anon_inode:[eventpoll]"]++
	if err := compare(nil, runtime); err == nil {
		t.Error("another epoll descriptor is not found")
	}
}

// No package has tests that are not looked at.
func TestEveryPackage(t *testing.T) {
	const files = `{{range .TestGoFiles}} {{.}}{{end}}{{range .XTestGoFiles}} {{.}}{{end}}`
	cmd := exec.Command("go", "list", "-f", `{{.Dir}}`+files, "../../...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		dir, tests, some := strings.Cut(strings.TrimSpace(line), " ")
		if some && dir != own && !looked(t, dir, strings.Fields(tests)) {
			t.Errorf("%s: no TestMain that calls leaks.Main or leaks.Run", dir)
		}
	}
}

// looked says whether one of a package's test files calls this package.
func looked(t *testing.T, dir string, files []string) bool {
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "leaks.Main(") || strings.Contains(string(text), "leaks.Run(") {
			return true
		}
	}
	return false
}
