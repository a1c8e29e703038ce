package report

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/needs"
)

// browser returns the name of an installed Chromium, which the test needs.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	needs.Programs(t, "chromium")
	return "chromium"
}

// chromium runs a headless browser on a page, with a profile of its own and
// without a network.
func chromium(t *testing.T, page string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	base := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=4000"}
	cmd := exec.CommandContext(ctx, browser(t), append(append(base, args...), "file://"+page)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return string(out)
}

func pageFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(render(t, HTML, example(t))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var drawnChart = regexp.MustCompile(`id="([a-z]+(?:-\d+)?)"[^>]*?data-drawn="([^"]*)"`)

// Every chart of the page has put coloured lines on its canvas, in a browser
// that cannot reach a network.
func TestChartsDraw(t *testing.T) {
	dom := chromium(t, pageFile(t), "--window-size=1200,900", "--dump-dom")
	drawn := map[string]string{}
	for _, match := range drawnChart.FindAllStringSubmatch(dom, -1) {
		drawn[match[1]] = match[2]
	}
	charts := []string{"curve"}
	for row := range 4 {
		for _, kind := range []string{"time", "loss", "latency", "cpu", "memory"} {
			charts = append(charts, kind+"-"+strconv.Itoa(row))
		}
	}
	const least = 150 // pixels: a thin line across a narrow chart
	for _, name := range charts {
		if n, err := strconv.Atoi(drawn[name]); err != nil || n < least {
			t.Errorf("chart %s: data-drawn is %q, want at least %d coloured pixels", name, drawn[name], least)
		}
	}
	if len(drawn) != len(charts) {
		t.Errorf("the page has %d charts, want %d", len(drawn), len(charts))
	}
	if strings.Count(dom, "<canvas") != len(charts) {
		t.Errorf("%d canvases for %d charts", strings.Count(dom, "<canvas"), len(charts))
	}
}

// The page can be photographed in every shape it is read in; with -update the
// pictures in docs/ are taken again.
func TestScreenshots(t *testing.T) {
	page := pageFile(t)
	dir := os.Getenv("PEREGRINE_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, args := range map[string][]string{
		"light-wide":   {"--window-size=1200,2300"},
		"dark-wide":    {"--window-size=1200,2300", "--blink-settings=preferredColorScheme=0"},
		"light-narrow": {"--window-size=500,3000"},
		"dark-narrow":  {"--window-size=500,3000", "--blink-settings=preferredColorScheme=0"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name+".png")
			chromium(t, page, append(args, "--screenshot="+path)...)
			if info, err := os.Stat(path); err != nil || info.Size() < 30_000 {
				t.Errorf("no picture: %v", err)
			}
		})
	}
	if *update {
		for _, name := range []string{"light", "dark"} {
			args := []string{"--window-size=1200,1450", "--screenshot=" + docs(t, "capacity-report-"+name+".png")}
			if name == "dark" {
				args = append(args, "--blink-settings=preferredColorScheme=0")
			}
			chromium(t, page, args...)
		}
	}
}

// docs is a file among the pictures of the documentation.
func docs(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs("../../../docs/images")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}
