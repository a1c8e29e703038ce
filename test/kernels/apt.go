package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt runs apt with sources and state of its own, beside the system's.
type apt struct {
	ctx  context.Context
	dir  string
	args []string
}

// newApt knows the packages of a suite, for the machine's architecture.
func newApt(ctx context.Context, o options, dir, suite string, security bool) (*apt, error) {
	state := filepath.Join(dir, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return nil, err
		}
	}
	mirror := o.mirror
	if security {
		mirror += "-security"
	}
	log.Printf("fetching from %s %s", mirror, suite)
	sources := filepath.Join(state, "sources.list")
	line := fmt.Sprintf("deb [arch=%s signed-by=%s] %s %s main\n", o.arch.name, keyring, mirror, suite)
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
		"APT::Sandbox::User=root", "APT::Architecture=" + o.arch.name, "APT::Architectures=" + o.arch.name,
		"Acquire::Check-Valid-Until=false", // suites are served after the end of their updates
		"Acquire::Languages=none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	} {
		args = append(args, "-o", o)
	}
	a := &apt{ctx: ctx, dir: dir, args: args}
	_, err := a.run("apt-get", "update", "-qq")
	return a, err
}

func (a *apt) run(name, verb string, args ...string) (string, error) {
	cmd := exec.CommandContext(a.ctx, name, slices.Concat(a.args, []string{verb}, args)...)
	cmd.Dir = a.dir
	return output(cmd)
}

// download is the package's file in dir.
func (a *apt) download(pkg string) (string, error) {
	if _, err := a.run("apt-get", "download", "-qq", pkg); err != nil {
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(a.dir, pkg+"_*.deb"))
	if len(debs) != 1 {
		return "", fmt.Errorf("expected one package file of %s in %s, have %d", pkg, a.dir, len(debs))
	}
	return debs[0], nil
}

// clean removes files that only fetching needed.
func (a *apt) clean() {
	os.RemoveAll(filepath.Join(a.dir, "apt"))
	debs, _ := filepath.Glob(filepath.Join(a.dir, "*.deb"))
	for _, d := range debs {
		os.Remove(d)
	}
}

// output runs a command; its standard error is part of the error.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return string(out), err
}
