package sensor

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// Without a driver the sensor runs, and does not claim to see anything.
func TestNoDriver(t *testing.T) {
	var log bytes.Buffer
	err := Run(context.Background(), Options{
		LoadConfig: func() (*config.Config, error) {
			c := config.Default()
			c.Engine.Kind, c.Webserver.Enabled = "nodriver", false
			c.Peregrine.StatusSocket = filepath.Join(t.TempDir(), "s")
			return c, nil
		},
		Stdout: os.Stdout, Stderr: &log, Getenv: func(string) string { return "" }, MaxDuration: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "no events will be seen") || !strings.Contains(text, "ready after=") {
		t.Error(text)
	}
}
