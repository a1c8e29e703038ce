package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

func TestSensorStatusAndTop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	n := int64(0)
	server, err := live.Listen(path, live.Sensor{Snapshot: func(context.Context) (metrics.Snapshot, error) {
		n++
		return metrics.Snapshot{Elapsed: time.Duration(n) * time.Second, Version: "1.2.3", Rules: []metrics.Rule{{Name: "a rule", Matches: uint64(n)}}}, nil
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Serve(ctx) }()
	defer func() { cancel(); <-done }()

	for _, tt := range []struct {
		args string
		want string
	}{
		{"status --interval 1ms", "Peregrine 1.2.3"},
		{"status --json", `"version": "1.2.3"`},
		{"top --once --interval 100ms", "a rule"},
		{"top --once --interval 100ms --json", `"version":"1.2.3"`},
	} {
		var out bytes.Buffer
		env := Env{Stdout: &out, Stderr: &out, Getenv: os.Getenv, Context: ctx}
		args := strings.Fields(tt.args)
		cmd := newSensorStatus(env)
		if args[0] == "top" {
			cmd = newSensorTop(env)
		}
		cmd.SetArgs(append(args[1:], "--socket", path))
		if err := cmd.ExecuteContext(ctx); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %v\n%s\nwant ...%s", tt.args, err, out.String(), tt.want)
		}
		if strings.Contains(tt.args, "json") && !json.Valid(out.Bytes()) {
			t.Errorf("%s: not JSON", tt.args)
		}
	}
}

func TestSensorTopFlags(t *testing.T) {
	for _, args := range [][]string{{"--interval", "1ms"}, {"--rows", "0"}} {
		cmd := newSensorTop(Env{Stdout: &bytes.Buffer{}})
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "at least") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Every command has a manual page, and the same source gives the same pages.
func TestMan(t *testing.T) {
	pages := func() map[string]string {
		dir := t.TempDir()
		var out bytes.Buffer
		env := Env{Args: []string{"man", dir}, Stdout: &out, Stderr: &out, Context: t.Context(), Getenv: func(name string) string {
			return map[string]string{"SOURCE_DATE_EPOCH": "1000000000"}[name]
		}}
		if code := Main(env); code != ExitOK {
			t.Fatalf("exit code %d: %s", code, out.String())
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found[e.Name()] = string(text)
		}
		return found
	}
	first, second := pages(), pages()
	if !strings.Contains(first["peregrine.8"], "Sep 2001") || len(first) < len(commands) {
		t.Errorf("%d pages, the first: %.200s", len(first), first["peregrine.8"])
	}
	for name, text := range first {
		if second[name] != text {
			t.Errorf("%s differs between two runs", name)
		}
	}
}
