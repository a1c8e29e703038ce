package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
)

// containers are containers as far as the sensor sees them: a cgroup with an
// id in its name, a process in it that opens the target, and a runtime with
// Docker's API that knows the id.
type containers struct {
	target string

	mu        sync.Mutex
	made      []time.Time // when each was started
	running   map[string]bool
	followers map[chan string]bool
}

func newContainers(target string) *containers {
	return &containers{target: target, running: map[string]bool{}, followers: map[chan string]bool{}}
}

// run starts and ends n containers, which the runtime forgets at the end. The
// program's name tells their alerts from those of the host.
func (c *containers) run(s *sensor, n int) error {
	defer c.forget()
	for range n {
		_, dir, err := memoryCgroup(s)
		if err != nil {
			return err
		}
		id := c.create()
		dir = filepath.Join(filepath.Dir(dir), "docker-"+id+".scope")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		out, err := exec.Command("/bin/sh", "-c", `echo 0 > "$0/cgroup.procs" && exec cat "$1"`, dir, c.target).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("container: %w\n%s", err, out)
		}
		if err := errors.Join(err, cgroup.Remove(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (c *containers) create() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fmt.Sprintf("%064x", uint64(len(c.made)+1)<<16)
	id = id[52:] + id[:52] // the first 12 digits are the short form
	c.made, c.running[id] = append(c.made, time.Now()), true
	for f := range c.followers {
		select {
		case f <- id:
		default: // it follows too slowly
		}
	}
	return id
}

func (c *containers) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.running)
}

// recent is how many were started not longer ago than d.
func (c *containers) recent(d time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearchFunc(c.made, time.Now().Add(-d), time.Time.Compare)
	return len(c.made) - i
}

// ServeHTTP is Docker's API, as far as the sensor asks.
func (c *containers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("/containers/json", c.list)
	mux.HandleFunc("/containers/{id}/json", c.inspect)
	mux.HandleFunc("/events", c.events)
	mux.ServeHTTP(w, r)
}

type summary struct{ ID, Name, Image string }

func (c *containers) list(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []summary{}
	for id := range c.running {
		all = append(all, summary{ID: id})
	}
	_ = json.NewEncoder(w).Encode(all) // to a client that may have gone
}

func (c *containers) inspect(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.running[id] {
		http.Error(w, `{"message": "No such container"}`, http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(summary{ID: id, Name: "/soak-" + id[:12]})
}

// events reports starting containers, until the client has gone.
func (c *containers) events(w http.ResponseWriter, r *http.Request) {
	ids := make(chan string, 64)
	c.mu.Lock()
	c.followers[ids] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.followers, ids)
	}()
	flush := http.NewResponseController(w)
	for flush.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case id := <-ids:
			fmt.Fprintf(w, `{"Type": "container", "Action": "start", "Actor": {"ID": %q}}`, id)
		}
	}
}
