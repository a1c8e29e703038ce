package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

const module = "github.com/peregrine-sec/peregrine/test/kubernetes"

// program is one that a cluster needs and that is compiled here.
type program struct {
	name  string // also its directory, in this one
	pkg   string // the package to compile, as seen from that directory
	stamp bool   // its version must be Kubernetes' own: v0.0.0-master refuses kubelets
}

var programs = []program{
	{name: "hyper", pkg: ".", stamp: true},
	{name: "helm", pkg: "helm.sh/helm/v3/cmd/helm"},
	{name: "pause", pkg: "."},
}

// Cache is the directory of compiled programs: peregrine-test in the user's
// cache directory (XDG_CACHE_HOME).
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("directory of compiled programs: %w", err)
	}
	return filepath.Join(dir, "peregrine-test"), nil
}

// Build compiles programs that are not cached yet. It reports progress to w.
func Build(w io.Writer) error {
	for _, p := range programs {
		path, err := p.path()
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err == nil {
			fmt.Fprintf(w, "%s: is there: %s\n", p.name, path)
			continue
		}
		fmt.Fprintf(w, "%s: compile to %s\n", p.name, path)
		if err := p.build(path, w); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
	}
	return nil
}

func (p program) build(path string, w io.Writer) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	dir, err := p.dir()
	if err != nil {
		return err
	}
	flags, err := p.linkerFlags()
	if err != nil {
		return err
	}
	unfinished := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", unfinished, p.pkg)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, w, w
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if err := cmd.Run(); err != nil {
		os.Remove(unfinished)
		return err
	}
	return os.Rename(unfinished, path)
}

// path is where the compiled program is kept, or will be.
func (p program) path() (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir, err := p.dir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		h.Write(content)
	}
	return filepath.Join(cache, p.name+"-"+hex.EncodeToString(h.Sum(nil)[:8])), nil
}

// dir is the program's directory in this checkout.
func (p program) dir() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	if filepath.IsAbs(file) {
		return filepath.Join(filepath.Dir(file), p.name), nil
	}
	// Compiled with -trimpath: ask go where the module is.
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find %s: run this inside the checkout: %w", module, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), p.name), nil
}

var kubernetesVersion = regexp.MustCompile(`(?m)k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)$`)

func (p program) linkerFlags() (string, error) {
	flags := "-s -w"
	if !p.stamp {
		return flags, nil
	}
	dir, err := p.dir()
	if err != nil {
		return "", err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	v := kubernetesVersion.FindSubmatch(mod)
	if v == nil {
		return "", fmt.Errorf("%s/go.mod: no k8s.io/kubernetes vX.Y.Z", dir)
	}
	// The variables that Kubernetes' own build sets (hack/lib/version.sh).
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range []string{
			"gitVersion=" + string(v[1]), "gitMajor=" + string(v[2]), "gitMinor=" + string(v[3]),
			"gitTreeState=clean", "gitCommit=" + strings.Repeat("0", 40), "buildDate=2026-01-01T00:00:00Z",
		} {
			flags += " -X " + pkg + "." + set
		}
	}
	return flags, nil
}
