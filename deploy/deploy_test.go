// Package deploy has no code: the tests check that the shipped files can be
// built, is accepted by the tools that read it, and runs.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestDebianPackage(t *testing.T) {
	needs.Programs(t, "dpkg-deb")
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	dir := t.TempDir()
	binary := filepath.Join(dir, "peregrine")
	run(t, "go", "build", "-buildvcs=false", "-o", binary, "../cmd/peregrine")
	var packages []string
	for _, out := range []string{"one", "two"} {
		run(t, "debian/build.sh", "v1.2.3", binary, filepath.Join(dir, out))
		found, _ := filepath.Glob(filepath.Join(dir, out, "peregrine_1.2.3_*.deb"))
		if len(found) != 1 {
			t.Fatalf("packages %q", found)
		}
		packages = append(packages, found[0])
	}
	one, _ := os.ReadFile(packages[0])
	two, _ := os.ReadFile(packages[1])
	if !slices.Equal(one, two) {
		t.Error("two builds of the same differ")
	}
	if info := run(t, "dpkg-deb", "--info", packages[0]); !strings.Contains(info, "Version: 1.2.3") || strings.Contains(info, "@") && strings.Contains(info, "@ARCH@") {
		t.Errorf("control:\n%s", info)
	}
	tree := filepath.Join(dir, "tree")
	run(t, "dpkg-deb", "--raw-extract", packages[0], tree)
	for _, file := range []string{
		"lib/systemd/system/peregrine.service", "etc/peregrine/config.d", "usr/share/man/man8/peregrine-sensor.8.gz",
		"usr/share/bash-completion/completions/peregrine", "usr/share/zsh/vendor-completions/_peregrine", "DEBIAN/conffiles",
	} {
		if _, err := os.Stat(filepath.Join(tree, file)); err != nil {
			t.Error(err)
		}
	}
	if out := run(t, filepath.Join(tree, "usr/bin/peregrine"), "sensor", "--version"); !strings.Contains(out, "Engine:") {
		t.Errorf("version: %s", out)
	}
	if listing := run(t, "dpkg-deb", "--contents", packages[0]); strings.Count(listing, "root/root") != strings.Count(listing, "\n") {
		t.Errorf("not everything belongs to root:\n%s", listing)
	}
}

func TestUnit(t *testing.T) {
	needs.Programs(t, "systemd-analyze")
	// The unit names a binary that is not installed here.
	text, err := os.ReadFile("systemd/peregrine.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "peregrine.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(string(text), "/usr/bin/peregrine", "/bin/true", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "peregrine.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// The shipped configuration is valid without a remark, and so are the blocks
// that it offers in comments.
func TestConfiguration(t *testing.T) {
	text, err := os.ReadFile("peregrine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var offered strings.Builder
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok && (strings.Contains(rest, ": ") || strings.HasSuffix(rest, ":\n")) && !strings.Contains(rest, "For ") && !strings.Contains(rest, "journalctl") && !strings.Contains(rest, "keys") {
			line = rest
		}
		offered.WriteString(line)
	}
	for name, content := range map[string]string{"as shipped": string(text), "with all blocks": offered.String()} {
		path := filepath.Join(t.TempDir(), "peregrine.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Path: path})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(c.Notes) > 0 || !c.JSON || !c.Stdout.Enabled {
			t.Errorf("%s: notes %v", name, c.Notes)
		}
		if all := name != "as shipped"; c.HTTP.Enabled != all || c.GRPCOutput.Enabled != all || c.Webserver.Prometheus != all || len(c.RulesFiles) > 0 != all {
			t.Errorf("%s: channels are not what the file says", name)
		}
	}
}

// Every file that the Dockerfile copies from the context is there.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	copied := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from") {
			continue
		}
		for _, file := range words[1 : len(words)-1] {
			copied++
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Error(err)
			}
		}
	}
	if copied == 0 || !strings.Contains(string(text), "FROM scratch") {
		t.Error("not the Dockerfile that was meant")
	}
}
