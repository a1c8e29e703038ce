package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
)

// postgresql runs pgbench on a cluster of its own, in a temporary directory, as
// user nobody: PostgreSQL does not run as root. Debian keeps its programs out
// of the path.
func postgresql(seconds int) (w workload, err error) {
	bin := ""
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
		bin = slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
	}
	w = workload{name: "pgbench against PostgreSQL, 10 clients", port: "15432", figure: regexp.MustCompile(`tps = ([0-9.]+)`)}
	if w.user, err = credential("nobody"); err != nil {
		return w, err
	}
	w.server = []string{filepath.Join(bin, "postgres"), "-D", "", "-p", w.port, "-k", "", "-c", "fsync=off", "-c", "max_connections=20"}
	w.check = []string{filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", w.port}
	connect := []string{"-h", "127.0.0.1", "-p", w.port, "postgres"}
	w.command = append([]string{filepath.Join(bin, "pgbench"), "-n", "-c", "10", "-T", strconv.Itoa(seconds)}, connect...)
	dir := ""
	w.prepare = func() error {
		if dir, err = os.MkdirTemp("", "speed"); err != nil {
			return err
		}
		w.server[2], w.server[6] = dir, dir
		if err := os.Chown(dir, int(w.user.Uid), int(w.user.Gid)); err != nil {
			return err
		}
		if err := w.once(filepath.Join(bin, "initdb"), "-D", dir, "-A", "trust", "-N"); err != nil {
			return err
		}
		end, err := w.serve()
		if err != nil {
			return err
		}
		err = w.once(append([]string{filepath.Join(bin, "pgbench"), "-i", "-q", "-s", "5"}, connect...)...)
		if stop := end(); err == nil {
			err = stop
		}
		return err
	}
	w.clean = func() error { return os.RemoveAll(dir) }
	return w, nil
}

// version is that of a directory .../15/bin or .../9.6/bin; no second part had
// two digits.
func version(bin string) float64 {
	v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(bin)), 64) // another directory is the oldest
	return v
}

// once runs a command of the workload's user.
func (w workload) once(args ...string) error {
	if _, err := w.cmd(context.Background(), args).Output(); err != nil {
		return fmt.Errorf("%s: %w%s", args[0], err, said(err))
	}
	return nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}
