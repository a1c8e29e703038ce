package player

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Environment variables that a test sets.
const (
	// EventsEnv is a unix socket on which the player hears of events, as
	// Events; without it, Peregrine's sensor provides those of the host.
	EventsEnv = "FALCO_PLAYER_EVENTS"
	// SensorEnv is the program of that sensor; default peregrine from PATH.
	SensorEnv = "FALCO_PLAYER_SENSOR"
	// CPUsEnv is the limit to play; default the one that the process has.
	CPUsEnv = "FALCO_PLAYER_CPUS"
	// ReleaseEnv is the release to play; default the recorded one.
	ReleaseEnv = "FALCO_PLAYER_RELEASE"
	// FailEnv, if set, has the player end when it would see its first event, as a
	// Falco that cannot load its probe.
	FailEnv = "FALCO_PLAYER_FAILS"
	// RateEnv replaces the alerts per second that the recorded Falco took.
	RateEnv = "FALCO_PLAYER_RATE"
)

// config holds the settings of Falco's flags that a player needs.
type config struct {
	start    Start
	version  bool
	help     bool
	buffered bool // alerts leave when 4 KiB are full
	release  string
	minor    int               // N of release 0.N
	stats    string            // of -s
	print    string            // of -p
	settings map[string]string // of -o, by key
	args     []string          // all flags, for the sensor that sees events
}

func parseConfig(args []string) (config, error) {
	c := config{settings: map[string]string{}, args: args, release: cmp.Or(os.Getenv(ReleaseEnv), "0.44.1")}
	if _, err := fmt.Sscanf(c.release, "0.%d", &c.minor); err != nil {
		return c, fmt.Errorf("%s: release %q: %w", ReleaseEnv, c.release, err)
	}
	if err := c.flags(args); err != nil {
		return c, err
	}
	cpus, err := cpuLimit()
	if err != nil {
		return c, err
	}
	if c.start, err = startOf(cpus); err != nil {
		return c, err
	}
	if text := os.Getenv(RateEnv); text != "" {
		c.start.Rate, err = human.ParseRate(text)
	}
	return c, err
}

// untilKey is the last release that is played to buffer whatever
// buffered_outputs says, unless it gets -U.
const untilKey = 43

// flags reads the command line as a Falco of the release does.
func (c *config) flags(args []string) error {
	unbuffered, driver := false, false
	for i := 0; i < len(args); i++ {
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch args[i] {
		case "--version":
			c.version = true
		case "--help":
			c.help = true
		case "-U":
			unbuffered = true
		case "--modern-bpf":
			driver = true
			if !c.hasDriverFlag() {
				return errors.New("option --modern-bpf does not exist")
			}
		case "-o":
			i++
			if err := c.set(value); err != nil {
				return err
			}
		case "-p":
			i++
			c.print = value
		case "-s":
			i++
			if c.minor > 35 {
				return errors.New("option -s does not exist")
			}
			c.stats = value
		}
	}
	c.buffered = !unbuffered && (c.minor <= untilKey || c.on("buffered_outputs"))
	if c.hasDriverFlag() && !driver && !c.version && !c.help {
		return errors.New("error opening device /dev/falco0. Make sure you have root credentials and that the falco module is loaded")
	}
	return nil
}

// hasDriverFlag says whether the release takes its kernel module unless it gets
// --modern-bpf; newer ones take their probe by default.
func (c *config) hasDriverFlag() bool { return c.minor >= 34 && c.minor <= 37 }

// set takes one -o. Up to 0.39.0 its value was several, split at commas.
func (c *config) set(option string) error {
	options := []string{option}
	if c.minor <= 39 {
		options = strings.Split(option, ",")
	}
	for _, o := range options {
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			return fmt.Errorf("error parsing config option %q: must be of the form key=val or key.subkey=val", o)
		}
		c.settings[key] = value
	}
	return nil
}

func (c config) on(key string) bool { return c.settings[key] == "true" }

// threads says whether alerts are to name their thread.
func (c config) threads() bool {
	return c.minor >= 40 && strings.Contains(c.settings["append_output[]"], "thread.tid") || strings.Contains(c.print, "%thread.tid")
}

// grpc is the address of its server; "" for none.
func (c config) grpc() string {
	if c.minor > 43 || !c.on("grpc.enabled") || !c.on("grpc_output.enabled") {
		return ""
	}
	return c.settings["grpc.bind_address"]
}

func (c config) metricsInterval() time.Duration {
	if d, err := human.ParseDuration(c.settings["metrics.interval"]); err == nil && d > 0 {
		return d
	}
	return time.Second
}

// cpuLimit is the limit of this process; 0 for none.
func cpuLimit() (float64, error) {
	if text := os.Getenv(CPUsEnv); text != "" {
		return human.ParseCPUs(text)
	}
	trees, err := cgroup.Trees("")
	if err != nil {
		return 0, err
	}
	own, err := procfs.Root("/proc").Cgroups(os.Getpid())
	if err != nil {
		return 0, err
	}
	for _, tree := range trees {
		if !tree.Has("cpu") {
			continue
		}
		_, dir, err := tree.Find(own)
		if err != nil {
			continue // not shown here: no limit of this process's own
		}
		return quota(dir)
	}
	return 0, nil
}

// quota reads cpu.max of version 2, or cpu.cfs_* of version 1.
func quota(dir string) (float64, error) {
	text, err := cgroup.Read(filepath.Join(dir, "cpu.max"))
	if err != nil {
		most, err1 := cgroup.Read(filepath.Join(dir, "cpu.cfs_quota_us"))
		period, err2 := cgroup.Read(filepath.Join(dir, "cpu.cfs_period_us"))
		if err1 != nil || err2 != nil {
			return 0, nil
		}
		text = most + " " + period
	}
	most, period, _ := strings.Cut(text, " ")
	m, err := strconv.ParseFloat(most, 64)
	if err != nil || m <= 0 {
		return 0, nil // "max", or -1
	}
	p, err := strconv.ParseFloat(strings.TrimSpace(period), 64)
	if err != nil || p <= 0 {
		return 0, fmt.Errorf("CPU limit of %s: %q", dir, text)
	}
	return m / p, nil
}
