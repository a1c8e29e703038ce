package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programSet are programs of packages of Debian whose files are all in /usr.
type programSet struct {
	name     string // of its directory in the cache
	programs []string
	packages []string // of the programs and the libraries that those need
}

// common are programs that tests start.
var common = programSet{
	name:     "programs",
	programs: []string{"sh", "cat", "tac", "true", "sleep", "setsid", "unshare", "ls", "id", "bash", "rm"},
	packages: []string{"dash", "coreutils", "util-linux", "libc6", "libcap2", "libselinux1", "libpcre2-8-0", "bash", "libtinfo6"},
}

var redis = programSet{
	name:     "redis",
	programs: []string{"redis-server", "redis-benchmark"},
	packages: []string{"redis-server", "redis-tools", "libc6", "libatomic1", "libcap2", "libjemalloc2", "liblzf1", "libssl3t64", "libstdc++6", "libgcc-s1", "libsystemd0", "libzstd1", "zlib1g"},
}

const programSuite = "trixie"

// addPrograms adds the programs and their libraries.
func addPrograms(ctx context.Context, o options, w *cpio, jobs []job) error {
	added := map[string]bool{}
	sets := []*programSet{&common}
	for _, j := range jobs {
		if j.programs != nil {
			sets = append(sets, j.programs)
		}
	}
	for _, s := range sets {
		if err := s.add(ctx, o, w, added); err != nil {
			return fmt.Errorf("%s of the machine: %w", s.name, err)
		}
	}
	return nil
}

func (s *programSet) add(ctx context.Context, o options, w *cpio, added map[string]bool) error {
	root, err := s.fetch(ctx, o)
	if err != nil {
		return err
	}
	var paths []string
	for _, name := range s.programs {
		paths = append(paths, "usr/bin/"+name)
	}
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
		needs, err := s.needed(root, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		paths = append(paths, needs...)
	}
	return nil
}

// fetch is the directory of the unpacked packages, taken from the archive if it
// is not kept.
func (s *programSet) fetch(ctx context.Context, o options) (string, error) {
	dir := o.cached(s.name)
	root := filepath.Join(dir, "root")
	lacks := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, "usr/bin", name))
		return err != nil
	}
	if !o.update && !slices.ContainsFunc(s.programs, lacks) {
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
	for _, pkg := range s.packages {
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
func (s *programSet) needed(root, path string) ([]string, error) {
	f, err := elf.Open(filepath.Join(root, path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	if interp := f.Section(".interp"); interp != nil {
		b, err := interp.Data()
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
			return nil, fmt.Errorf("needs %s: expected it once in %v, have %d", name, s.packages, len(found))
		}
		lib, err := filepath.Rel(root, found[0])
		if err != nil {
			return nil, err
		}
		out = append(out, lib)
	}
	return out, nil
}
