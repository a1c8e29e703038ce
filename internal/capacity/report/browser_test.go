package report

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/test/support/pagetest"
)

func pageFile(t *testing.T) string {
	t.Helper()
	return pagetest.File(t, render(t, HTML, example(t)))
}

var drawnChart = regexp.MustCompile(`id="([a-z]+(?:-\d+)?)"[^>]*?data-drawn="([^"]*)"`)

// Every chart of the page has put coloured lines on its canvas, in a browser
// that cannot reach a network.
func TestChartsDraw(t *testing.T) {
	dom, console := pagetest.Browse(t, pageFile(t), "--window-size=1200,900")
	if console != "" {
		t.Errorf("console: %s", console)
	}
	drawn := map[string]string{}
	for _, match := range drawnChart.FindAllStringSubmatch(dom, -1) {
		drawn[match[1]] = match[2]
	}
	charts := []string{"curve"}
	for row := range 4 {
		for _, kind := range []string{"time", "loss", "latency", "percentiles", "cpu", "memory"} {
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

// Whatever the texts of a result are, they are text on its page.
func TestHostileTexts(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *capacity.Result{"one": example, "several": several} {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			pagetest.Hostile(t, r, func() string { return render(t, HTML, r) })
		})
	}
}

// The page can be photographed in every shape it is read in; with -update the
// pictures in docs/ are taken again.
func TestScreenshots(t *testing.T) {
	page := pageFile(t)
	dir := t.TempDir()
	if *update {
		dir = docs(t)
	}
	for _, look := range pagetest.Looks {
		t.Run(look.Name, func(t *testing.T) {
			pagetest.Screenshot(t, page, look, filepath.Join(dir, "capacity-report-"+look.Name+".png"))
		})
	}
}

// docs is where the pictures of the documentation are.
func docs(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../docs/images")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
