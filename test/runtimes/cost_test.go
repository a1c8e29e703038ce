package runtimes

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/needs"
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
					before, _ := procfs.Host.Schedstat(s.cmd.Process.Pid)
					for b.Loop() {
						if err := work.do(); err != nil {
							b.Fatal(err)
						}
					}
					after, _ := procfs.Host.Schedstat(s.cmd.Process.Pid)
					b.ReportMetric(float64(after-before)/float64(b.N), "cpu-ns/op")
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
