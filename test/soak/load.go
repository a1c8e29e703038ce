package main

import (
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// load opens the target some hundred times a second, which is an alert each,
// and another file some thousand times.
type load struct {
	target, other string
	paused, ended atomic.Bool
	workers       sync.WaitGroup
}

func startLoad(w *world) *load {
	l := &load{target: w.file("target"), other: w.file("rules.yaml")}
	for range 2 {
		l.workers.Go(l.run)
	}
	return l
}

const (
	beat     = 10 * time.Millisecond
	alerts   = 4  // in each beat and worker
	harmless = 50 // opens of the other file
)

func (l *load) run() {
	for ; !l.ended.Load(); time.Sleep(beat) {
		if l.paused.Load() {
			continue
		}
		for range alerts {
			open(l.target)
		}
		for range harmless {
			open(l.other)
		}
	}
}

func open(path string) {
	if f, err := os.Open(path); err == nil {
		f.Close()
	}
}

func (l *load) stop() {
	l.ended.Store(true)
	l.workers.Wait()
}

// storm starts and ends n processes as fast as it goes.
func storm(n int) error {
	for range n {
		if err := exec.Command("/bin/true").Run(); err != nil {
			return err
		}
	}
	return nil
}
