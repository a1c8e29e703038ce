package player

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// openEvents lets alerts arrive as lines, whenever an event happens.
func openEvents(ctx context.Context, c config, arrived chan<- []byte) (closer func() error, err error) {
	if path := os.Getenv(EventsEnv); path != "" {
		return listen(ctx, path, c.threads(), arrived)
	}
	return watch(ctx, c, arrived)
}

// listen hears of events from the generator of a test.
func listen(ctx context.Context, path string, threads bool, arrived chan<- []byte) (func() error, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go hear(ctx, conn, threads, arrived)
		}
	}()
	return listener.Close, nil
}

func hear(ctx context.Context, conn net.Conn, threads bool, arrived chan<- []byte) {
	defer conn.Close()
	lines := json.NewDecoder(conn)
	for {
		var e Event
		if lines.Decode(&e) != nil {
			return
		}
		if e.Die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		select {
		case arrived <- e.alert(threads):
		case <-ctx.Done():
			return
		}
	}
}

// alert is the line that Falco writes for an event.
func (e Event) alert(threads bool) []byte {
	more := ""
	if threads {
		more = fmt.Sprintf(`,"proc.pid":%d,"thread.tid":%d`, e.TID, e.TID)
	}
	return fmt.Appendf(nil, `{"hostname":"player","output_fields":{"evt.time":%d,"evt.type":"openat","fd.name":"/etc/shadow","proc.name":"peregrine"%s},`+
		`"priority":"Warning","rule":%q,"source":"syscall","tags":["host"],"time":"%s"}`+"\n",
		e.Time, more, e.Rule, time.Unix(0, e.Time).UTC().Format("2006-01-02T15:04:05.000000000Z"))
}

// notOfSensor are settings of the player itself.
var notOfSensor = []string{"metrics.", "webserver.", "http_output.", "file_output.", "stdout_output.", "buffered_outputs", "syslog_output.", "grpc"}

// watch gets the events of the host from Peregrine's sensor.
func watch(ctx context.Context, c config, arrived chan<- []byte) (func() error, error) {
	cmd := exec.Command(cmp.Or(os.Getenv(SensorEnv), "peregrine"), append([]string{"sensor"}, sensorArgs(c.args)...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("sensor that sees the events: %w", err)
	}
	go func() {
		lines := bufio.NewReaderSize(out, 1<<20)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			select {
			case arrived <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}, nil
}

// sensorArgs are Falco's flags without those that the player obeys.
func sensorArgs(args []string) []string {
	kept := []string{"-o", "stdout_output.enabled=true", "-o", "syslog_output.enabled=false", "-o", "webserver.enabled=false"}
	for i := 0; i < len(args); i++ {
		if args[i] == "-s" || args[i] == "--stats-interval" {
			i++
			continue
		}
		if args[i] == "-o" && i+1 < len(args) {
			i++
			if !slices.ContainsFunc(notOfSensor, func(p string) bool { return strings.HasPrefix(args[i], p) }) {
				kept = append(kept, "-o", args[i])
			}
			continue
		}
		kept = append(kept, args[i])
	}
	return kept
}
