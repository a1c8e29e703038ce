package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernel is the newest that a suite of Debian's has.
type kernel struct {
	name, suite string
	security    bool // from the security archive
}

// debian are the kernels, one for each object of the probe at least.
var debian = []kernel{
	{name: "5.10", suite: "bullseye-security", security: true},
	{name: "6.1", suite: "bookworm"},
	{name: "6.12", suite: "trixie"},
}

func (k kernel) String() string { return k.name }

const (
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	meta    = "linux-image-cloud-amd64"
)

// fetch is the path of the kernel, taken from the archive if it is not kept.
func (k kernel) fetch(ctx context.Context, o options) (string, error) {
	dir, err := filepath.Abs(filepath.Join(o.cache, k.suite))
	if err != nil {
		return "", err
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "vmlinuz-*")); len(kept) == 1 && !o.update {
		return kept[0], nil
	}
	log.Printf("%s: fetching from %s", k.name, o.mirror)
	a, err := newApt(ctx, dir, k, o.mirror)
	if err != nil {
		return "", err
	}
	if _, err := a.run("apt-get", "update", "-qq"); err != nil {
		return "", err
	}
	show, err := a.run("apt-cache", "show", meta)
	if err != nil {
		return "", err
	}
	pkg, err := dependency(show, "linux-image-")
	if err != nil {
		return "", err
	}
	if _, err := a.run("apt-get", "download", "-qq", pkg); err != nil {
		return "", err
	}
	defer a.clean()
	debs, _ := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if len(debs) != 1 {
		return "", fmt.Errorf("expected one package file of %s in %s, have %d", pkg, dir, len(debs))
	}
	return unpack(ctx, debs[0], dir)
}

// dependency is the package of a version that the first record, the newest,
// depends on.
func dependency(show, prefix string) (string, error) {
	m := regexp.MustCompile(`(?m)^Depends:.*\b(` + prefix + `[0-9][^ ,]*)`).FindStringSubmatch(show)
	if m == nil {
		return "", fmt.Errorf("no dependency on %sVERSION", prefix)
	}
	return m[1], nil
}

// apt runs apt with sources and state of its own, beside the system's.
type apt struct {
	ctx  context.Context
	dir  string
	args []string
}

func newApt(ctx context.Context, dir string, k kernel, mirror string) (*apt, error) {
	state := filepath.Join(dir, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return nil, err
		}
	}
	if k.security {
		mirror += "-security"
	}
	sources := filepath.Join(state, "sources.list")
	line := fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, k.suite)
	if err := os.WriteFile(sources, []byte(line), 0o644); err != nil {
		return nil, err
	}
	status := filepath.Join(state, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	var args []string
	for _, o := range []string{
		"Dir::Etc::sourcelist=" + sources, "Dir::Etc::sourceparts=/dev/null", "Dir::Etc::preferencesparts=/dev/null",
		"Dir::State=" + state, "Dir::State::status=" + status, "Dir::Cache=" + state,
		"APT::Sandbox::User=root", "APT::Architecture=amd64",
		"Acquire::Check-Valid-Until=false", // suites are served after the end of their updates
		"Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	} {
		args = append(args, "-o", o)
	}
	return &apt{ctx: ctx, dir: dir, args: args}, nil
}

func (a *apt) run(name, verb string, args ...string) (string, error) {
	cmd := exec.CommandContext(a.ctx, name, slices.Concat(a.args, []string{verb}, args)...)
	cmd.Dir = a.dir
	return output(cmd)
}

// clean removes what only fetching needed.
func (a *apt) clean() {
	os.RemoveAll(filepath.Join(a.dir, "apt"))
	debs, _ := filepath.Glob(filepath.Join(a.dir, "*.deb"))
	for _, d := range debs {
		os.Remove(d)
	}
}

// unpack takes the kernel out of a package, in place of any other in dir.
func unpack(ctx context.Context, deb, dir string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer cmd.Wait() // killed once the kernel is found
	defer cancel()
	for in := tar.NewReader(out); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s: no vmlinuz in it", filepath.Base(deb))
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
		name := filepath.Base(h.Name)
		if name == "vmlinuz" { // of newer packages: beside the modules of its version
			name += "-" + filepath.Base(filepath.Dir(h.Name))
		}
		if h.Typeflag != tar.TypeReg || !strings.HasPrefix(name, "vmlinuz-") {
			continue
		}
		old, _ := filepath.Glob(filepath.Join(dir, "vmlinuz-*"))
		for _, f := range old {
			os.Remove(f)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, name)
		return path, os.WriteFile(path, b, 0o644)
	}
}

// output runs a command; what it said to stderr is part of the error.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return string(out), err
}
