package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// workloads need redis, nginx, wrk, PostgreSQL, Go and Python; those without
// their programs are left out, by name. dir is for the servers' files; seconds
// is the length of a run with a server.
func workloads(dir string, seconds int) ([]workload, error) {
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir), 0o600); err != nil {
		return nil, err
	}
	nginx := []string{"nginx", "-e", filepath.Join(dir, "error.log"), "-c", config}
	wrk := func(connection string) []string {
		return []string{"wrk", "-t1", "-c20", fmt.Sprintf("-d%ds", seconds), "-H", "Connection: " + connection, "http://127.0.0.1:18080/"}
	}
	requests := regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	pgbench, err := postgresql(seconds)
	if err != nil {
		return nil, err
	}
	return []workload{
		redis(dir, seconds),
		{name: "wrk against nginx, keep-alive", server: nginx, port: "18080", command: wrk("keep-alive"), figure: requests},
		{name: "wrk against nginx, a connection each", server: nginx, port: "18080", command: wrk("close"), figure: requests},
		pgbench,
		goVet(filepath.Join(dir, "module")),
		{name: "find over /usr", command: []string{"find", "/usr", "-newer", "/etc/hostname"}},
		{name: "1,000 short processes", command: []string{"sh", "-c", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done"}},
		python(),
	}, nil
}

func redis(dir string, seconds int) workload {
	return workload{name: "redis-benchmark, 50 clients", port: "16379",
		server:  []string{"redis-server", "--port", "16379", "--save", "", "--dir", dir},
		command: []string{"redis-benchmark", "-p", "16379", "-t", "get", "-n", fmt.Sprint(50_000 * seconds), "-c", "50", "-q"},
		figure:  regexp.MustCompile(`GET: ([0-9.]+) requests`)}
}

const nginxConfig = `daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; server { listen 127.0.0.1:18080; location / { return 200 "ok"; } } }
`

// goVet compiles and vets a module of twenty packages, whose content is new in
// each run, so that nothing of them is in the cache.
func goVet(dir string) workload {
	run := 0
	renew := func() error {
		run++
		for i := range 20 {
			in := filepath.Join(dir, fmt.Sprintf("p%d", i))
			if err := os.MkdirAll(in, 0o700); err != nil {
				return err
			}
			source := fmt.Appendf(nil, goSource, i, os.Getpid(), run)
			if err := os.WriteFile(filepath.Join(in, "p.go"), source, 0o600); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module speed\n\ngo 1.24\n"), 0o600)
	}
	return workload{name: "go vet of 20 packages", command: []string{"go", "-C", dir, "vet", "./..."}, renew: renew}
}

const goSource = `package p%d

import (
	"encoding/json"
	"fmt"
	"net/http"
)

const run = "%d %d"

func Get(url string) (s string, err error) {
	r, err := http.Get(url)
	if err != nil {
		return run, fmt.Errorf("get %%s: %%w", url, err)
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s)
}
`

// python runs sixty programs in a directory below /root, which a rule names.
func python() workload {
	dir := ""
	w := workload{name: "60 Python programs under /root"}
	w.prepare = func() (err error) {
		if dir, err = os.MkdirTemp("/root", "speed"); err != nil {
			return err
		}
		for i := range 60 {
			program := filepath.Join(dir, fmt.Sprintf("p%d.py", i))
			if err := os.WriteFile(program, []byte("import json, subprocess\nprint(json.dumps([1, 2]))\n"), 0o600); err != nil {
				return err
			}
		}
		w.command[3] = dir
		return nil
	}
	w.clean = func() error { return os.RemoveAll(dir) }
	w.command = []string{"sh", "-c", `for f in "$0"/*.py; do python3 "$f"; done`, ""}
	return w
}
