package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// workload is real work of which the operations a second are taken: the figure
// that the command prints, or how often it ran.
type workload struct {
	name    string
	server  []string // started before; "": none
	port    string   // that it listens on
	command []string
	figure  *regexp.Regexp
}

// workloads need redis, nginx and wrk from Debian; those without their programs
// are left out, by name. dir is for the servers' files.
func workloads(dir string) ([]workload, error) {
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir), 0o600); err != nil {
		return nil, err
	}
	redis := []string{"redis-server", "--port", "16379", "--save", "", "--dir", dir}
	nginx := []string{"nginx", "-e", filepath.Join(dir, "error.log"), "-c", config}
	wrk := func(connection string) []string {
		return []string{"wrk", "-t1", "-c20", "-d5s", "-H", "Connection: " + connection, "http://127.0.0.1:18080/"}
	}
	requests := regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	return []workload{
		{"redis-benchmark, 50 clients", redis, "16379",
			[]string{"redis-benchmark", "-p", "16379", "-t", "get", "-n", "250000", "-c", "50", "-q"}, regexp.MustCompile(`GET: ([0-9.]+) requests`)},
		{"wrk against nginx, keep-alive", nginx, "18080", wrk("keep-alive"), requests},
		{"wrk against nginx, a connection each", nginx, "18080", wrk("close"), requests},
		{"find over /usr", nil, "", []string{"find", "/usr", "-newer", "/etc/hostname"}, nil},
		{"500 short processes", nil, "", []string{"sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"}, nil},
	}, nil
}

const nginxConfig = `daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; server { listen 127.0.0.1:18080; location / { return 200 "ok"; } } }
`

// missing is the first program that is not installed.
func (w workload) missing() string {
	for _, args := range [][]string{w.server, w.command} {
		if len(args) > 0 {
			if _, err := exec.LookPath(args[0]); err != nil {
				return args[0]
			}
		}
	}
	return ""
}

// run gives the operations per second.
func (w workload) run() (rate float64, err error) {
	if len(w.server) > 0 {
		end, err := serve(w.server, w.port)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, w.command[0], w.command[1:]...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", w.command[0], err)
	}
	if w.figure == nil {
		return 1 / time.Since(begin).Seconds(), nil
	}
	found := w.figure.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%s: no figure in %q", w.command[0], out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// serve starts a server, waits until it takes connections, and returns a
// function that ends it.
func serve(args []string, port string) (end func() error, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by the signal
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			return end, conn.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s does not serve port %s", args[0], port), err, end())
		}
	}
}
