package leaks

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// What still ends, later than goleak alone waits (half a second), is not left
// behind.
func TestSettled(t *testing.T) {
	before := open()
	file, err := os.Create(t.TempDir() + "/closed late")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(time.Second) // the lateness under test
		file.Close()
		time.Sleep(time.Second) // a goroutine that ends later still
	}()
	if err := settled(before); err != nil {
		t.Error(err)
	}
}

// No package has tests that are not looked at.
func TestEveryPackage(t *testing.T) {
	const files = `{{range .TestGoFiles}} {{.}}{{end}}{{range .XTestGoFiles}} {{.}}{{end}}`
	cmd := exec.Command("go", "list", "-f", `{{.Dir}}`+files, "../../../...")
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

// looked says whether a package's test files have a TestMain and call this
// package.
func looked(t *testing.T, dir string, files []string) bool {
	t.Helper()
	var declared, called bool
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				declared = declared || n.Name.Name == "TestMain"
			case *ast.CallExpr:
				what := types.ExprString(n.Fun)
				called = called || what == "leaks.Main" || what == "leaks.Run"
			}
			return true
		})
	}
	return declared && called
}

// A comment, or a call that no TestMain can make, does not count.
func TestLooked(t *testing.T) {
	for text, want := range map[string]bool{
		"func TestMain(m *testing.M) { leaks.Main(m) }":                                                       true,
		"func TestMain(m *testing.M) { os.Exit(run(m)) }\nfunc run(m *testing.M) int { return leaks.Run(m) }": true,
		"// TestMain calls leaks.Main(m).\nfunc TestMain(m *testing.M) { m.Run() }":                           false,
		"func TestOther(t *testing.T) { leaks.Main(nil) }":                                                    false,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte("package x\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := looked(t, dir, []string{"x_test.go"}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
