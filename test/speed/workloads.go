package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// workloads need redis, nginx, wrk, PostgreSQL, Go and Python; those without
// their programs are left out, by name. dir is for the servers' files.
func workloads(dir string) ([]workload, error) {
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir), 0o600); err != nil {
		return nil, err
	}
	nginx := []string{"nginx", "-e", filepath.Join(dir, "error.log"), "-c", config}
	wrk := func(connection string) []string {
		return []string{"wrk", "-t1", "-c20", "-d24h", "-H", "Connection: " + connection, "http://127.0.0.1:18080/"}
	}
	requests := func() (reading, error) { return readNginx("http://127.0.0.1:18080/status") }
	pgbench, err := postgresql()
	if err != nil {
		return nil, err
	}
	return []workload{
		redis(dir),
		{name: "wrk against nginx, keep-alive", server: nginx, port: "18080", command: wrk("keep-alive"), read: requests},
		{name: "wrk against nginx, a connection each", server: nginx, port: "18080", command: wrk("close"), read: requests},
		pgbench,
		goVet(filepath.Join(dir, "module")),
		{name: "find over /usr", command: []string{"find", "/usr", "-newer", "/etc/hostname"}},
		{name: "200 short processes", command: []string{"sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"}},
		python(),
	}, nil
}

func redis(dir string) workload {
	const port = "16379"
	return workload{name: "redis-benchmark, 50 clients", port: port,
		server:  []string{"redis-server", "--port", port, "--save", "", "--dir", dir},
		command: []string{"redis-benchmark", "-p", port, "-t", "get", "-n", "2000000000", "-c", "50", "-q"},
		read:    func() (reading, error) { return readRedis("127.0.0.1:" + port) }}
}

const nginxConfig = `daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; server { listen 127.0.0.1:18080; location / { return 200 "ok"; }
location = /status { stub_status; add_header X-Time $msec; } } }
`

// goVet compiles and vets a module of four packages, whose content is new in
// each run, so that nothing of them is in the cache.
func goVet(dir string) workload {
	run := 0
	renew := func() error {
		run++
		for i := range 4 {
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
	return workload{name: "go vet of 4 packages", command: []string{"go", "-C", dir, "vet", "./..."}, renew: renew}
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

// python runs ten programs in a directory below /root, which a rule names.
func python() workload {
	dir := ""
	w := workload{name: "10 Python programs under /root"}
	w.prepare = func() (err error) {
		if dir, err = os.MkdirTemp("/root", "speed"); err != nil {
			return err
		}
		for i := range 10 {
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
