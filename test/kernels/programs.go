package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs that tests start, of packages of a suite whose files are all in /usr.
var programs = []string{"sh", "cat", "tac", "true", "sleep", "setsid", "unshare", "ls", "id"}

const programSuite = "trixie"

// programPackages have the programs and the libraries that those need.
var programPackages = []string{"dash", "coreutils", "util-linux", "libc6", "libcap2", "libselinux1", "libpcre2-8-0"}

// addPrograms adds the programs and their libraries.
func addPrograms(ctx context.Context, o options, w *cpio) error {
	root, err := fetchPrograms(ctx, o)
	if err != nil {
		return fmt.Errorf("programs of the machine: %w", err)
	}
	var paths []string
	for _, name := range programs {
		paths = append(paths, "usr/bin/"+name)
	}
	added := map[string]bool{}
	for len(paths) > 0 {
		path := paths[0]
		paths = paths[1:]
		if added[path] {
			continue
		}
		added[path] = true
		if err := w.copy(path, filepath.Join(root, path)); err != nil {
			return err
		}
		needs, err := needed(root, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		paths = append(paths, needs...)
	}
	return nil
}

// fetchPrograms is the directory of the unpacked packages, taken from the
// archive if it is not kept.
func fetchPrograms(ctx context.Context, o options) (string, error) {
	dir := o.cached("programs")
	root := filepath.Join(dir, "root")
	if _, err := os.Stat(root); err == nil && !o.update {
		return root, nil
	}
	a, err := newApt(ctx, o, dir, programSuite, false)
	if err != nil {
		return "", err
	}
	defer a.clean()
	part := root + ".part"
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(root)); err != nil {
		return "", err
	}
	for _, pkg := range programPackages {
		deb, err := a.download(pkg)
		if err != nil {
			return "", err
		}
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", deb, part)); err != nil {
			return "", err
		}
	}
	return root, os.Rename(part, root)
}

// needed are the loader and the libraries that a program or a library of root
// names: ldd would run it, which a host of another architecture cannot.
func needed(root, path string) ([]string, error) {
	f, err := elf.Open(filepath.Join(root, path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	if s := f.Section(".interp"); s != nil {
		b, err := s.Data()
		if err != nil {
			return nil, err
		}
		out = append(out, "usr"+strings.TrimRight(string(b), "\x00"))
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu", name))
		if len(found) != 1 {
			return nil, fmt.Errorf("needs %s: expected it once in %v, have %d", name, programPackages, len(found))
		}
		lib, err := filepath.Rel(root, found[0])
		if err != nil {
			return nil, err
		}
		out = append(out, lib)
	}
	return out, nil
}
