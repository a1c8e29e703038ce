package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
)

// The workload runs in a process of its own, which is told where and how much.
const (
	multipleVariable = "PEREGRINE_REPLAY_MULTIPLE"
	dirVariable      = "PEREGRINE_REPLAY_DIR"
	cgroupsVariable  = "PEREGRINE_REPLAY_CGROUPS"
)

// programs are those that the workload needs; Debian has them all.
var programs = []string{"redis-server", "redis-benchmark", "nginx", "wrk", "go"}

// The numbers of clients at multiple 1. More of them is a larger workload, of
// the same kind: each waits between its requests, so that the rate is known.
const (
	redisClients = 4  // that make 500 requests, once a second
	httpClients  = 12 // that make a request every 10 ms
	builders     = 2  // that build a program every 4 seconds
)

// workload is the child process: it works until it is killed.
func workload() error {
	multiple, err := strconv.ParseFloat(os.Getenv(multipleVariable), 64)
	if err != nil {
		return err
	}
	if err := sandbox.Join(strings.Split(os.Getenv(cgroupsVariable), ":")); err != nil {
		return err
	}
	dir := os.Getenv(dirVariable)
	clients := func(n float64) int { return max(1, int(math.Round(n*multiple))) }
	failed := make(chan error)
	if err := serve(dir); err != nil {
		return err
	}
	wrk := exec.Command("wrk", "-t1", "-d1h", "-c", fmt.Sprint(clients(httpClients)), "-s", filepath.Join(dir, "wrk.lua"), "http://127.0.0.1:18080/")
	go func() { failed <- errors.Join(errors.New("wrk has ended"), wrk.Run()) }()
	start := time.Now()
	// A number of clients that is not whole is made up for by their pauses.
	repeat := func(of float64, every time.Duration, do func(client, time int) error) {
		n := clients(of)
		every = time.Duration(float64(every) * float64(n) / (of * multiple))
		for i := range n {
			go func() {
				for t := 0; ; t++ {
					// Each has a phase of its own.
					time.Sleep(time.Until(start.Add(every*time.Duration(t) + every*time.Duration(i)/time.Duration(n))))
					if err := do(i, t); err != nil {
						failed <- err
					}
				}
			}()
		}
	}
	repeat(redisClients, time.Second, func(int, int) error {
		return run(dir, "redis-benchmark", "-p", "16379", "-t", "get", "-n", "500", "-c", "1", "-q")
	})
	repeat(builders, 4*time.Second, func(client, time int) error { return build(dir, client, time) })
	fmt.Println("ready")
	return <-failed
}

func serve(dir string) error {
	servers := [][]string{
		{"16379", "redis-server", "--port", "16379", "--save", "", "--dir", dir},
		{"18080", "nginx", "-e", filepath.Join(dir, "error.log"), "-c", filepath.Join(dir, "nginx.conf")},
	}
	for _, s := range servers {
		if err := exec.Command(s[1], s[2:]...).Start(); err != nil { // they end with this process
			return err
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			conn, err := net.Dial("tcp", "127.0.0.1:"+s[0])
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: %w", s[1], err)
			}
		}
	}
	return nil
}

// build compiles and links a program that is new each time, and vets it.
func build(dir string, client, time int) error {
	module := filepath.Join(dir, fmt.Sprint("module", client))
	if err := os.MkdirAll(module, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"go.mod":  "module hello\n\ngo 1.24\n",
		"main.go": fmt.Sprintf("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\", %d, %d) }\n", client, time),
	} {
		if err := os.WriteFile(filepath.Join(module, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(run(module, "go", "build", "-p", "1", "-o", "hello", "."), run(module, "go", "vet", "."))
}

func run(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return nil
}

const nginxConfig = `daemon off; pid %[1]s/pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 1024; }
http { access_log off; server { listen 127.0.0.1:18080; root %[1]s/www; } }
`

// furnish writes the files that the workload needs, and fills the build cache.
func furnish(dir string) error {
	for name, text := range map[string]string{
		"nginx.conf": fmt.Sprintf(nginxConfig, dir),
		"wrk.lua":    "function delay() return 10 end\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	www := filepath.Join(dir, "www")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(www, 0o755), os.WriteFile(filepath.Join(www, "index.html"), make([]byte, 1000), 0o644)); err != nil {
		return err
	}
	for name, value := range map[string]string{"GOCACHE": filepath.Join(dir, "cache"), "GOMAXPROCS": "1", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOTELEMETRY": "off"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return build(dir, 0, -1)
}
