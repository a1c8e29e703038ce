package runtimes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/image"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// built has the programs and images that the tests need, made once.
var built struct{ dir, binary, archive, pause string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(built.dir)
	return leaks.Run(m)
}

// The images of the tests: that of all containers, and that of pods' own.
const (
	tag      = "localhost/tests/app:v1"
	pauseTag = "localhost/tests/pause:v1"
)

func build() error {
	var err error
	if built.dir, err = os.MkdirTemp("", "peregrine-runtimes-"); err != nil {
		return err
	}
	built.binary, built.archive = filepath.Join(built.dir, "peregrine"), filepath.Join(built.dir, "app.tar")
	app := filepath.Join(built.dir, "app")
	for out, pkg := range map[string]string{built.binary: "cmd/peregrine", app: "test/runtimes/app"} {
		cmd := exec.Command("go", "build", "-o", out, "github.com/peregrine-sec/peregrine/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
	}
	built.pause = filepath.Join(built.dir, "pause.tar")
	img := image.Image{
		Tag: tag, Files: map[string]string{"/app": app}, Entrypoint: []string{"/app"}, Cmd: []string{"sleep"},
		Links:  map[string]string{"/bin/debugfs": "/app", "/bin/mount": "/app", "/bin/open": "/app", "/bin/sleep": "/app"},
		Labels: map[string]string{"team": "tests", "empty": ""},
	}
	pause := img
	pause.Tag, pause.Cmd = pauseTag, []string{"pause", "/tell/pause"}
	return errors.Join(archive(built.archive, img), archive(built.pause, pause))
}

func archive(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(img.Write(f), f.Close())
}

// need skips a test where it cannot run, or fails it where that is promised.
func need(t testing.TB, programs ...string) {
	t.Helper()
	needs.Root(t)
	needs.Programs(t, programs...)
}
