package main

import (
	"cmp"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// postgresql runs pgbench on a cluster of its own, in a temporary directory, as
// user nobody: PostgreSQL does not run as root. Debian keeps its programs out
// of the path.
func postgresql() (w workload, err error) {
	bin := ""
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(found) > 0 {
		bin = slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })
	}
	w = workload{name: "pgbench against PostgreSQL, 10 clients", port: "15432"}
	if w.user, err = credential("nobody"); err != nil {
		return w, err
	}
	w.server = []string{filepath.Join(bin, "postgres"), "-D", "", "-p", w.port, "-k", "", "-c", "fsync=off", "-c", "max_connections=20"}
	w.check = []string{filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", w.port}
	connect := []string{"-h", "127.0.0.1", "-p", w.port, "postgres"}
	w.command = append([]string{filepath.Join(bin, "pgbench"), "-n", "-c", "10", "-T", "86400"}, connect...)
	count := append([]string{"psql", "-qAtX", "-c", transactions}, connect...)
	w.read = func() (reading, error) {
		row, err := w.output(count...)
		if err != nil {
			return reading{}, err
		}
		return postgresqlReading(row)
	}
	dir := ""
	w.prepare = func() error {
		if dir, err = os.MkdirTemp("", "speed"); err != nil {
			return err
		}
		w.server[2], w.server[6] = dir, dir
		if err := os.Chown(dir, int(w.user.Uid), int(w.user.Gid)); err != nil {
			return err
		}
		if _, err := w.output(filepath.Join(bin, "initdb"), "-D", dir, "-A", "trust", "-N"); err != nil {
			return err
		}
		end, err := w.serve()
		if err != nil {
			return err
		}
		_, err = w.output(append([]string{filepath.Join(bin, "pgbench"), "-i", "-q", "-s", "5"}, connect...)...)
		return errors.Join(err, end())
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
