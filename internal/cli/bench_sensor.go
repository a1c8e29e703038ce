package cli

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// sensorFlags say which sensor is under test, and where its alerts and
// statistics come from.
type sensorFlags struct {
	sensor, alerts, stats, pid string
	ready                      string
	interval                   time.Duration
	verbose                    bool
	grpcSocket, grpcHost       string
	grpcPort                   uint16
	intake                     intake.Options
	statsTLS                   endpoint.Client
}

func (s *sensorFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&s.sensor, "sensor", "embedded", "sensor under test: embedded (Peregrine's own, as a child process; its flags follow --), running, or a command that starts a sensor and writes JSON alerts to standard output")
	flags.StringVar(&s.alerts, "alerts", "", "where to receive a running sensor's alerts: grpc[:PATH], http[s]://HOST:PORT, file:PATH, unix:PATH or stdin")
	flags.StringVar(&s.stats, "stats", "", "statistics of a sensor that is not embedded: its file (Falco's -s or metrics.output_file) or the URL of its Prometheus metrics")
	flags.StringVar(&s.statsTLS.CA, "stats-ca", "", "CA file that verifies an https:// --stats URL (default: the system's CAs)")
	flags.BoolVar(&s.statsTLS.Insecure, "stats-insecure", false, "accept any certificate from an https:// --stats URL")
	flags.DurationVar(&s.interval, "stats-interval", 250*time.Millisecond, "interval at which the embedded sensor writes statistics, or at which a URL is scraped")
	flags.StringVar(&s.pid, "pid", "0", "running sensor to sample: process id, or name if it is unique; 0 for none")
	flags.StringVar(&s.ready, "ready", "", "text in the standard error of a --sensor command that shows it is ready")
	flags.BoolVar(&s.verbose, "sensor-log", false, "show the sensor's log")
	s.roads(flags)
}

// roads adds the flags for the ways in which alerts arrive.
func (s *sensorFlags) roads(flags *pflag.FlagSet) {
	grpc, http := &s.intake.Client, &s.intake.Server
	flags.StringVar(&s.grpcSocket, "grpc-unix-socket", "unix:///run/falco/falco.sock", "unix socket of the sensor's gRPC server (default: the first of the usual paths that exists)")
	flags.Lookup("grpc-unix-socket").DefValue = "" // the usage says it
	flags.StringVar(&s.grpcHost, "grpc-hostname", "localhost", "host of the sensor's gRPC server; --grpc-hostname and --grpc-port select TCP instead of the socket")
	flags.Uint16Var(&s.grpcPort, "grpc-port", 5060, "port of the sensor's gRPC server")
	flags.StringVar(&grpc.Cert, "grpc-cert", "/etc/falco/certs/client.crt", "client certificate for gRPC")
	flags.StringVar(&grpc.Key, "grpc-key", "/etc/falco/certs/client.key", "private key of the client certificate")
	flags.StringVar(&grpc.CA, "grpc-ca", "/etc/falco/certs/ca.crt", "CA file that verifies the sensor's certificate")
	flags.DurationVar(&s.intake.PollingInterval, "polling-interval", 100*time.Millisecond, "interval at which to request alerts over gRPC; Falco sends alerts only on request, so this adds to their latency")

	flags.StringVar(&http.Address, "http-server-address", "localhost:8080", "address to listen on for http_output")
	flags.StringVar(&http.Security, "http-server-security-mode", "", "insecure, tls or mtls (default: insecure on loopback; required on other addresses)")
	flags.StringVar(&http.Cert, "http-server-cert", "/etc/falco/certs/server.crt", "server certificate for HTTPS")
	flags.StringVar(&http.Key, "http-server-key", "/etc/falco/certs/server.key", "private key of the server certificate")
	flags.StringVar(&http.ClientCA, "http-client-ca", "/etc/falco/certs/ca.crt", "CA file that verifies the sensor's certificate in mtls mode")
}

// target makes the sensor under test. dir takes files of an embedded sensor,
// whose flags are args.
func (s *sensorFlags) target(env Env, cmd *cobra.Command, dir string, args []string) (target.Target, error) {
	s.imply(cmd)
	if s.sensor != "running" && cmd.Flags().Changed("pid") {
		return nil, usagef("--pid is for a sensor that is already running, but --sensor %s starts one: omit --pid", s.sensor)
	}
	if s.sensor == "embedded" && s.stats != "" {
		return nil, usagef("--stats is for a sensor that is not embedded: omit it, or name the sensor with --sensor, --alerts or --pid")
	}
	var log io.Writer
	if s.verbose {
		log = env.Stderr
	}
	switch s.sensor {
	case "embedded":
		return target.Embedded(target.Sensor{Dir: dir, Interval: s.interval, Args: args, Log: log}), nil
	case "running":
		return s.running(env, cmd)
	}
	command := append(strings.Fields(s.sensor), args...)
	return target.NewProcess(target.Config{Command: command, Ready: s.ready, StatsFile: s.stats, Log: log}), nil
}

// imply understands event-generator's command lines, which only know running
// sensors.
func (s *sensorFlags) imply(cmd *cobra.Command) {
	given := func(prefix string) bool {
		found := false
		cmd.Flags().Visit(func(f *pflag.Flag) { found = found || strings.HasPrefix(f.Name, prefix) })
		return found
	}
	named := cmd.Flags().Changed("pid") && s.pid != "0" && !cmd.Flags().Changed("sensor") || s.sensor == "running"
	switch {
	case s.alerts != "":
	case given("grpc-"):
		s.alerts = "grpc"
	case given("http-"):
		s.alerts = "http"
	case named: // as event-generator: the sensor that runs, at its default socket
		s.alerts = "grpc"
	}
	if s.alerts != "" && !cmd.Flags().Changed("sensor") {
		s.sensor = "running"
	}
}

// running is a sensor that is already running.
func (s *sensorFlags) running(env Env, cmd *cobra.Command) (target.Target, error) {
	pid, err := findProcess("/proc", s.pid)
	if err != nil {
		return nil, asUsage(err)
	}
	if pid != 0 {
		if err := target.CheckSensor(pid, strings.TrimPrefix(s.stats, "file:"), strings.TrimPrefix(s.alerts, "file:")); err != nil {
			return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--pid: %w", err)}
		}
	}
	alerts, err := s.source(cmd, env)
	if err != nil {
		return nil, err
	}
	reader, err := s.reader()
	if err != nil {
		alerts.Close()
		return nil, err
	}
	return target.NewRunning(pid, alerts, reader), nil
}

func (s *sensorFlags) source(cmd *cobra.Command, env Env) (intake.Source, error) {
	from, err := endpoint.ParseAlerts(s.alerts)
	if err != nil {
		return nil, usagef("--alerts: %w", err)
	}
	given := cmd.Flags().Changed
	switch {
	case s.alerts == "http":
		from.Address = s.intake.Server.Address
	case s.alerts != "grpc":
	case given("grpc-hostname"), given("grpc-port"):
		from.Address = net.JoinHostPort(s.grpcHost, strconv.Itoa(int(s.grpcPort)))
	case given("grpc-unix-socket"):
		from.Path = strings.TrimPrefix(strings.TrimPrefix(s.grpcSocket, "unix:"), "//")
	}
	s.intake.Stdin = env.Stdin
	return intake.Open(cmd.Context(), from, s.intake)
}

// reader is nil without --stats.
func (s *sensorFlags) reader() (sensorstats.Reader, error) {
	if s.stats == "" {
		return nil, nil
	}
	from, err := endpoint.ParseStats(s.stats)
	if err != nil {
		return nil, usagef("--stats: %w", err)
	}
	return sensorstats.Open(from, s.interval, s.statsTLS)
}

// findProcess parses a process id, or the name of exactly one process.
func findProcess(proc, s string) (int, error) {
	if pid, err := strconv.Atoi(s); err == nil {
		if _, err := os.Stat(filepath.Join(proc, s)); err != nil && pid != 0 {
			return 0, fmt.Errorf("--pid %s: no such process", s)
		}
		return pid, nil
	}
	found, err := procfs.Root(proc).Named(s)
	if err != nil {
		return 0, err
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("--pid %s: no process has this name", s)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("--pid %s: %d processes have this name: give one of their ids, %v", s, len(found), found)
}
