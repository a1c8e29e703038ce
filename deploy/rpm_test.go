package deploy

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// TestRPM makes the RPM from the Debian package and asks rpm about it.
func TestRPM(t *testing.T) {
	needs.Programs(t, "dpkg-deb")
	needs.Programs(t, "rpm")
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "peregrine")
	run(t, "go", "build", "-buildvcs=false", "-o", binary, "../cmd/peregrine")
	run(t, "debian/build.sh", "v1.2.3", binary, dir)
	debs, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if len(debs) != 1 {
		t.Fatalf("packages %q", debs)
	}
	run(t, "rpm/build.sh", debs[0], dir)
	rpms, _ := filepath.Glob(filepath.Join(dir, "peregrine-1.2.3-*.rpm"))
	if len(rpms) != 1 {
		t.Fatalf("packages %q", rpms)
	}
	files := run(t, "rpm", "--query", "--package", "--list", rpms[0])
	for _, file := range []string{
		"/usr/bin/peregrine", "/usr/lib/systemd/system/peregrine.service", "/etc/peregrine/peregrine.yaml", "/etc/peregrine/rules.d",
		"/usr/share/man/man8/peregrine-sensor.8.gz", "/usr/share/bash-completion/completions/peregrine",
	} {
		if !strings.Contains(files, file+"\n") {
			t.Errorf("%s is missing in:\n%s", file, files)
		}
	}
	if config := run(t, "rpm", "--query", "--package", "--configfiles", rpms[0]); strings.TrimSpace(config) != "/etc/peregrine/peregrine.yaml" {
		t.Errorf("configuration files: %s", config)
	}
}
