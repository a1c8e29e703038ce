package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// files are other files that programs expect.
var files = map[string]string{
	"etc/passwd":   "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group":    "root:x:0:\nnogroup:x:65534:\n",
	"etc/shadow":   "root:*:19000:0:99999:7:::\n",
	"etc/hostname": "peregrine\n",
	"etc/hosts":    "127.0.0.1 localhost\n::1 localhost\n",
}

// buildImage builds init (this program), the binary and the tests, and makes
// an initramfs of them.
func buildImage(ctx context.Context, o options, dir, image string, jobs []job) error {
	out, err := os.Create(image)
	if err != nil {
		return err
	}
	defer out.Close()
	buf := bufio.NewWriterSize(out, 1<<20)
	w := newCPIO(buf)
	for _, d := range []string{"bin", "lib", "lib64", "sbin"} {
		w.symlink(d, "usr/"+d)
	}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run", "root", "tests", "usr/sbin", "var/tmp"} {
		w.dir(d)
	}
	w.device("dev/console", 5, 1) // where the kernel opens init's output
	var lines strings.Builder
	for _, j := range jobs {
		lines.WriteString(j.line(o.limit))
	}
	w.file("jobs", 0o644, []byte(lines.String()))
	for name, text := range files {
		w.file(name, 0o644, []byte(text))
	}
	err = errors.Join(addBuilt(ctx, w, o.arch.name, dir, jobs), addPrograms(ctx, o, w, jobs))
	return errors.Join(err, w.close(), buf.Flush(), out.Close())
}

// addBuilt adds programs compiled here, without symbol tables: the image is
// copied into the machine's memory.
func addBuilt(ctx context.Context, w *cpio, arch, dir string, jobs []job) error {
	build := func(to string, args ...string) error {
		file := filepath.Join(dir, filepath.Base(to))
		cmd := exec.CommandContext(ctx, "go", append(args[:1:1], append([]string{"-trimpath", "-ldflags=-s -w", "-o", file}, args[1:]...)...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if _, err := output(cmd); err != nil {
			return err
		}
		return w.copy(to, file)
	}
	if err := build("init", "build", "./test/kernels"); err != nil {
		return err
	}
	if err := build("usr/bin/peregrine", "build", "./cmd/peregrine"); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := build(j.program()[1:], j.build()...); err != nil {
			return err
		}
	}
	return nil
}

// copy adds a file of the host.
func (w *cpio) copy(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	w.file(to, 0o755, b)
	return nil
}
