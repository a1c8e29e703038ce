package internal

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const architecture = "../docs/ARCHITECTURE.md"

// goPackage is a package of this module.
type goPackage struct {
	path     string // below internal/, or that of test support below the module's root
	doc      string // the first sentence of its comment
	imports  []string
	external []string // imports from outside internal/
}

// The picture of the floors and the table of packages in docs/ARCHITECTURE.md
// agree with the code; PEREGRINE_UPDATE=1 rewrites them.
func TestArchitecture(t *testing.T) {
	packages := listPackages(t, "./...")
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	got := string(page)
	for name, text := range map[string]string{
		"floors": "```\n" + floors(t, packages, func(path string) string {
			name, _, _ := strings.Cut(path, "/")
			return name
		}) + "```\n",
		"sensor":   "```\n" + floors(t, packages, inSensor) + "```\n",
		"packages": table(packages),
		"support":  table(listPackages(t, supports)),
	} {
		got = replaceSection(t, got, name, text)
	}
	if got == string(page) {
		return
	}
	if os.Getenv("PEREGRINE_UPDATE") == "" {
		t.Fatalf("%s does not show the packages as they are; PEREGRINE_UPDATE=1 go test ./internal -run Architecture corrects it", architecture)
	}
	if err := os.WriteFile(architecture, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

// supports are the packages that only tests import.
const supports = "../test/support/..."

func listPackages(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	format := "{{.ImportPath}}\t{{.Doc}}\t{{join .Imports \" \"}}"
	out, err := exec.Command("go", append([]string{"list", "-f", format}, patterns...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		parts := strings.Split(line, "\t")
		p := goPackage{path: strings.TrimPrefix(strings.TrimPrefix(parts[0], module), root), doc: parts[1]}
		for dep := range strings.FieldsSeq(parts[2]) {
			if dep, ours := strings.CutPrefix(dep, module); ours {
				p.imports = append(p.imports, dep)
			} else {
				p.external = append(p.external, dep)
			}
		}
		if parts[1]+parts[2] != "" { // tests alone have neither a comment nor imports
			packages = append(packages, p)
		}
	}
	return packages
}

// inSensor is a package's place in the picture of the sensor, "" for those
// elsewhere.
func inSensor(path string) string {
	if rest, ok := strings.CutPrefix(path, "sensor/"); ok {
		return rest
	}
	return ""
}

// floors draws packages, or groups of them, as room names them: a line for each
// floor, the top first, which import those of lower floors only.
func floors(t *testing.T, packages []goPackage, room func(path string) string) string {
	t.Helper()
	below := map[string]map[string]bool{}
	for _, p := range packages {
		from := room(p.path)
		if from == "" {
			continue
		}
		if below[from] == nil {
			below[from] = map[string]bool{}
		}
		for _, dep := range p.imports {
			if to := room(dep); to != "" && to != from {
				below[from][to] = true
			}
		}
	}
	level := map[string]int{}
	var climb func(name string, above []string) int
	climb = func(name string, above []string) int {
		if slices.Contains(above, name) {
			t.Fatalf("imports go round: %s", strings.Join(append(above, name), " -> "))
		}
		if level[name] == 0 {
			for dep := range below[name] {
				level[name] = max(level[name], climb(dep, append(above, name)))
			}
			level[name]++
		}
		return level[name]
	}
	rooms := map[int][]string{}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		n := climb(name, nil)
		rooms[n] = append(rooms[n], name)
	}
	var b strings.Builder
	for n := len(rooms); n > 0; n-- {
		line := fmt.Sprintf("%2d ", n)
		for _, name := range rooms[n] {
			if len(line)+2+len(name) > 100 {
				b.WriteString(line + "\n")
				line = "   "
			}
			line += "  " + name
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func table(packages []goPackage) string {
	var b strings.Builder
	b.WriteString("| package | |\n|---|---|\n")
	for _, p := range packages {
		if p.doc == "" { // generated
			continue
		}
		doc := strings.TrimSuffix(strings.ReplaceAll(p.doc, "|", `\|`), ".")
		words := strings.SplitN(doc, " ", 3) // "Package NAME ..."
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.path, words[len(words)-1])
	}
	return b.String()
}

// replaceSection puts text between the comments that begin and end a section.
func replaceSection(t *testing.T, page, name, text string) string {
	t.Helper()
	begin, end := "<!-- "+name+": from the code -->\n", "<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no section %s", architecture, name)
	}
	return before + begin + text + end + after
}
