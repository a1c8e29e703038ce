package runtimes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/needs"
)

// BenchmarkMetadata measures the cost of metadata of 200 containers: the same
// sensor with a runtime that serves it, and without one.
//
//	go test ./test/runtimes -run xxx -bench Metadata -count 5
//
// ns/op is the time that the work takes beside the sensor, cpu-ns/op the CPU
// time of the sensor itself.
func BenchmarkMetadata(b *testing.B) {
	need(b)
	const many = 200
	n := newNode(many)
	for name, sockets := range map[string]map[string]string{"off": nil, "on": {"cri": n.serve(b)}} {
		b.Run(name, func(b *testing.B) {
			var rules []string
			for _, file := range defaultRules(b) {
				rules = append(rules, "-r", file)
			}
			s := startSensor(b, "", sockets, rules...)
			if sockets != nil {
				needs.Eventually(b, "all containers are known", func() bool { return s.told(b) >= many })
			}
			for _, work := range []struct {
				name string
				do   func() error
			}{
				{"delivered event", dup},
				{"fork and exec", func() error { return exec.Command(filepath.Join(built.dir, "app"), "nothing").Run() }},
				{"idle second", func() error { time.Sleep(time.Second); return nil }}, // no load
			} {
				b.Run(work.name, func(b *testing.B) {
					before := cpu(b, s.cmd.Process.Pid)
					for b.Loop() {
						if err := work.do(); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(cpu(b, s.cmd.Process.Pid)-before)/float64(b.N), "cpu-ns/op")
				})
			}
		})
	}
}

// dup makes an event that no path rules out in the kernel.
func dup() error {
	fd, err := unix.Dup(0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// cpu is how long a process has run so far (proc(5), /proc/PID/task/TID/schedstat).
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, file := range files {
		var ns time.Duration
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			t.Fatal(err)
		}
		sum += ns
	}
	return sum
}
