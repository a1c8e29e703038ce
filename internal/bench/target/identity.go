package target

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/version"
)

// Identity says which sensor is under test.
type Identity struct {
	Name    string   `json:"name"` // "Falco", "Peregrine", or the program's
	Version string   `json:"version,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Rules   []string `json:"rules,omitempty"` // files; none for those of its configuration
}

// String is the identity in a line.
func (i Identity) String() string {
	text := cmp.Or(i.Name, unnamed)
	if i.Version != "" {
		text += " " + i.Version
	}
	if i.PID != 0 {
		text += fmt.Sprintf(", process %d", i.PID)
	}
	if len(i.Rules) == 0 {
		return text + ", rules of its configuration"
	}
	return text + ", rules " + strings.Join(i.Rules, " ")
}

const unnamed = "unknown sensor"

// Identify looks at a sensor's process, or else at the command that starts it.
func Identify(ctx context.Context, pid int, command []string) Identity {
	program := ""
	if pid != 0 {
		proc := filepath.Join("/proc", fmt.Sprint(pid))
		if text, err := os.ReadFile(filepath.Join(proc, "cmdline")); err == nil && len(text) > 0 {
			command = strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		}
		program = filepath.Join(proc, "exe") // also where its path is another mount namespace's
	}
	i := Identity{Name: unnamed, PID: pid}
	if len(command) == 0 {
		return i
	}
	i.Name, i.Rules = filepath.Base(command[0]), ruleFiles(command)
	if real, err := os.Readlink(program); err == nil {
		i.Name = filepath.Base(strings.TrimSuffix(real, " (deleted)"))
	}
	if program == "" {
		program = command[0]
	}
	if command[0] == "/proc/self/exe" {
		i.Name, i.Version = "Peregrine", version.Version()
	} else if (strings.HasPrefix(i.Name, "falco") || strings.HasPrefix(i.Name, "peregrine")) && (pid == 0 || mayRun(pid)) {
		i.Name, i.Version = versionOf(ctx, program, i.Name)
	}
	if i.Name == "Peregrine" && len(i.Rules) == 0 && !slices.Contains(command, "-c") {
		i.Rules = []string{"default rules, embedded"}
	}
	return i
}

// mayRun says whether it is safe to run the program of a process for its
// version: any user's program could have a sensor's name, and we are usually
// root. It is the host's own if the process sees our files, and only root or we
// can have written it.
func mayRun(pid int) bool {
	proc := filepath.Join("/proc", fmt.Sprint(pid))
	theirs, err := os.Readlink(filepath.Join(proc, "ns/mnt"))
	if err != nil {
		return false
	}
	var st unix.Stat_t
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil || theirs != ours || unix.Stat(filepath.Join(proc, "exe"), &st) != nil {
		return false
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0
}

// versionOf asks a program as every Falco, and ours, answers.
func versionOf(ctx context.Context, program, fallback string) (name, version string) {
	out, err := answer(ctx, program, "--version")
	if err != nil {
		return fallback, ""
	}
	for name, form := range versions {
		if found := form.FindSubmatch(out); found != nil {
			return name, string(bytes.Join(found[1:], nil))
		}
	}
	return fallback, ""
}

// versions are the forms of the answers. Falco's is JSON where its configuration
// has json_output on.
var versions = map[string]*regexp.Regexp{
	"Falco":     regexp.MustCompile(`Falco version:[ \t]*(\S+)|"falco_version"\s*:\s*"([^"]+)"`),
	"Peregrine": regexp.MustCompile(`(?m)^Peregrine (\S+)`),
}

// FalcoRelease is the version that a Falco answers with; "" if it does not.
func FalcoRelease(ctx context.Context, program string) string {
	name, version := versionOf(ctx, program, "")
	if name != "Falco" {
		return ""
	}
	return version
}

// FalcoHelp returns the help text of a Falco; "" if it prints none.
func FalcoHelp(ctx context.Context, program string) string {
	out, err := answer(ctx, program, "--help")
	if err != nil {
		return ""
	}
	return string(out)
}

// answer is what a program prints if it is given one flag. It has ten seconds.
func answer(ctx context.Context, program, flag string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, flag)
	cmd.WaitDelay = time.Second // for children that keep its output open
	return cmd.Output()
}

// ruleFiles are those of -r and --rules in Falco's command lines.
func ruleFiles(command []string) []string {
	var files []string
	for i, arg := range command {
		if value, ok := strings.CutPrefix(arg, "--rules="); ok {
			files = append(files, value)
		}
		if (arg == "-r" || arg == "--rules") && i+1 < len(command) {
			files = append(files, command[i+1])
		}
	}
	return files
}

// CheckSensor says why a process can be no sensor under test: it is not there,
// it is a thread, or nothing about it is a sensor's. A sensor is named like one
// we know, holds eBPF objects or Falco's device, or has one of the given files
// open, where its alerts and statistics come from.
func CheckSensor(pid int, files ...string) error {
	proc := filepath.Join("/proc", fmt.Sprint(pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return fmt.Errorf("there is no process %d", pid)
	}
	if leader := procfs.Number(string(status), "Tgid"); leader != uint64(pid) {
		return fmt.Errorf("%d is a thread of process %d: give that one", pid, leader)
	}
	stat, err := procfs.Host.Stat(pid)
	if err != nil {
		return fmt.Errorf("there is no process %d", pid)
	}
	if stat.Ended() {
		return fmt.Errorf("process %d (%s) has ended", pid, stat.Comm)
	}
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if errors.Is(err, fs.ErrPermission) {
		return nil // another user's: nothing can be said
	}
	command, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return fmt.Errorf("there is no process %d", pid)
	}
	arguments := strings.Split(string(command), "\x00")
	if sensorName(stat.Comm, arguments) || sensorName(filepath.Base(exe), arguments) {
		return nil
	}
	used, err := uses(proc, files)
	if err != nil || used {
		return err
	}
	return fmt.Errorf("process %d (%s) is not a sensor: it holds no eBPF program and no Falco device, and writes none of the alerts or statistics that are read", pid, stat.Comm)
}

// notSensors are programs around Falco.
var notSensors = []string{"falcosidekick", "falcoctl", "falco-exporter"}

// sensorName says whether a program of a name is a sensor that we know.
func sensorName(name string, arguments []string) bool {
	if slices.ContainsFunc(notSensors, func(other string) bool { return strings.HasPrefix(name, other) }) {
		return false
	}
	return strings.Contains(name, "falco") || strings.Contains(name, "peregrine") && slices.Contains(arguments, "sensor")
}

// uses says whether a process holds a kind of descriptor that only sensors
// hold, or one of the files. The host's first process has eBPF programs of its
// own, for the devices of control groups.
func uses(proc string, files []string) (bool, error) {
	paths := make([]string, len(files))
	for i, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			return false, err
		}
		paths[i] = path
	}
	descriptors, err := filepath.Glob(filepath.Join(proc, "fd", "*"))
	if err != nil {
		return false, err
	}
	for _, d := range descriptors {
		to, err := os.Readlink(d)
		if err != nil {
			continue // closed meanwhile
		}
		if strings.HasPrefix(to, "/dev/falco") || strings.HasPrefix(to, "anon_inode:bpf") && filepath.Base(proc) != "1" || slices.Contains(paths, to) {
			return true, nil
		}
	}
	return false, nil
}
