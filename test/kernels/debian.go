package main

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is the newest that a suite of Debian's has.
type kernel struct {
	name, suite string
	flavour     string // the one for virtual machines where it is empty
	security    bool   // from the security archive
}

func (k kernel) String() string { return k.name }

// fetch is the path of the kernel, taken from the archive if it is not kept.
func (k kernel) fetch(ctx context.Context, o options) (string, error) {
	dir := o.cached(k.name)
	if kept, _ := filepath.Glob(filepath.Join(dir, "vmlinuz-*")); len(kept) == 1 && !o.update {
		return kept[0], nil
	}
	a, err := newApt(ctx, o, dir, k.suite, k.security)
	if err != nil {
		return "", err
	}
	defer a.clean()
	show, err := a.run("apt-cache", "show", "linux-image-"+cmp.Or(k.flavour, "cloud-"+o.arch.name))
	if err != nil {
		return "", err
	}
	pkg, err := dependency(show, "linux-image-")
	if err != nil {
		return "", err
	}
	deb, err := a.download(pkg)
	if err != nil {
		return "", err
	}
	return unpack(ctx, deb, dir)
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
	defer func() { _ = cmd.Wait() }() // killed once the kernel is found
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
