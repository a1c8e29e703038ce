package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// world is the environment of the sensor: its files, and the receivers of
// alerts.
type world struct {
	dir        string
	http       *receiver
	taken      atomic.Uint64 // requests with alerts that were answered
	containers *containers
	runtime    *receiver // of the containers
	// Settings that reloads change.
	config settings
}

type settings struct {
	json     bool
	capacity int
	path     string // of the URL
}

// smallDisk is the size of the file system that alerts are written to.
const smallDisk = 64 << 20

func newWorld() (*world, error) {
	dir, err := os.MkdirTemp("", "peregrine-soak-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, config: settings{json: true, capacity: 8192, path: "/"}}
	if err := os.Mkdir(w.file("disk"), 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("soak", w.file("disk"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		return nil, errors.Join(fmt.Errorf("mount a small disk: %w", err), os.RemoveAll(dir))
	}
	w.containers = newContainers(w.file("target"))
	if w.http, err = newReceiver("tcp", "127.0.0.1:0", http.HandlerFunc(w.take)); err != nil {
		return nil, err
	}
	if w.runtime, err = newReceiver("unix", w.file("docker.sock"), w.containers); err != nil {
		return nil, err
	}
	return w, errors.Join(w.write("rules.yaml", rules), os.WriteFile(w.file("target"), nil, 0o600), w.configure())
}

// take receives an alert.
func (w *world) take(_ http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		w.taken.Add(1)
	}
}

// rotate empties the file of alerts, so that the disk is full only on purpose.
func (w *world) rotate() error {
	if err := os.Truncate(w.file("disk/alerts"), 0); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) close() error {
	return errors.Join(w.http.close(), w.runtime.close(), unix.Unmount(w.file("disk"), unix.MNT_DETACH), os.RemoveAll(w.dir))
}

// write replaces a file at once, as an editor or a configuration manager does.
func (w *world) write(name, text string) error {
	if err := os.WriteFile(w.file(name+".new"), []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(w.file(name+".new"), w.file(name))
}

// rules match the events of the load: an open of the target, and its storm.
const rules = `
- rule: Target
  desc: the load opens its file
  condition: evt.type in (open, openat, openat2) and fd.name endswith /target and evt.is_open_read=true
  output: "target %evt.num %proc.cmdline %fd.name container=%container.id called=%container.name"
  priority: NOTICE
- rule: Storm
  desc: the storm starts its program
  condition: evt.type=execve and proc.name=true and proc.pname=soak
  output: "storm %proc.pid"
  priority: INFO
`

const configuration = `
rules_files: [DIR/rules.yaml]
watch_config_files: true
json_output: JSON
output_timeout: 1000
outputs_queue: {capacity: CAPACITY}
stdout_output: {enabled: true}
file_output: {enabled: true, keep_alive: false, filename: DIR/disk/alerts}
http_output: {enabled: true, url: "URL", max_consecutive_timeouts: 1}
program_output: {enabled: true, keep_alive: true, program: "cat > /dev/null"}
falco_libs: {thread_table_auto_purging_interval_s: 5, thread_table_auto_purging_thread_timeout_s: 5}
peregrine: {status_socket: DIR/status.sock}
load_plugins: [container]
plugins:
  - name: container
    init_config:
      engines:
        docker: {enabled: true, sockets: [DIR/docker.sock]}
        podman: {enabled: false}
        cri: {enabled: false}
        containerd: {enabled: false}
`

// configure writes the configuration for the settings.
func (w *world) configure() error {
	return w.write("config.yaml", strings.NewReplacer("DIR", w.dir, "JSON", fmt.Sprint(w.config.json),
		"CAPACITY", fmt.Sprint(w.config.capacity), "URL", "http://"+w.http.address+w.config.path).Replace(configuration))
}
