// Package pagetest loads pages in Chromium, for tests: their DOM, their errors,
// and screenshots.
package pagetest

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// File is the address of a page that is a file.
func File(t *testing.T, html string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// Browse opens a page in a headless browser that reaches no other host, and
// returns its DOM after five seconds of its virtual time, and its console
// output.
func Browse(t *testing.T, address string, args ...string) (dom, console string) {
	t.Helper()
	out, errs := chromium(t, address, append([]string{"--enable-logging=stderr", "--dump-dom"}, args...)...)
	return out, said(errs)
}

// message is one on a console, in Chromium's log: its text, and the address of
// the script or page that it is of.
var message = regexp.MustCompile(`(?s):CONSOLE[:(]\d+\)?\] "(.*?)", source: (\S*) \(\d+\)\n`)

// said are the messages in Chromium's log but those of its own pages and
// extensions.
func said(log string) string {
	var texts strings.Builder
	for _, m := range message.FindAllStringSubmatch(log, -1) {
		if source := m[2]; !strings.HasPrefix(source, "chrome") && !strings.HasPrefix(source, "devtools:") {
			fmt.Fprintf(&texts, "%s: %s\n", source, m[1])
		}
	}
	return texts.String()
}

const (
	// patience bounds a browser: it starts many processes, on a machine that may
	// be loaded.
	patience = 5 * time.Minute
	// ending is how long processes of a browser may outlive it.
	ending = time.Minute
)

func chromium(t *testing.T, address string, args ...string) (out, errs string) {
	t.Helper()
	needs.Programs(t, "chromium")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	home := t.TempDir()
	base := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--user-data-dir=" + home, "--virtual-time-budget=5000"}
	cmd := exec.CommandContext(ctx, "chromium", append(append(base, args...), address)...)
	// Its crash reporter does not know of the data directory, and has files in the
	// home directory.
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	// All its processes hold the pipes, also when the first one is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = ending
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium: %v\n%s", err, stderr.String())
	}
	return stdout.String(), stderr.String()
}

// Look is a window in which a page is read.
type Look struct {
	Name          string
	Width, Height int
	Dark          bool
}

// Looks are the window sizes and colour schemes in which pages must be
// readable. Chromium's narrowest window is 500.
var Looks = []Look{{"wide-light", 1200, 1300, false}, {"wide-dark", 1200, 1300, true}, {"narrow-light", 500, 1300, false}, {"narrow-dark", 500, 1300, true}}

// Flags are those of a browser that has this look.
func (l Look) Flags() []string {
	flags := []string{fmt.Sprintf("--window-size=%d,%d", l.Width, l.Height)}
	if l.Dark {
		flags = append(flags, "--blink-settings=preferredColorScheme=0")
	}
	return flags
}

// Screenshot takes a picture, with few colours so that it is small.
func Screenshot(t *testing.T, address string, look Look, path string) {
	t.Helper()
	chromium(t, address, append(look.Flags(), "--screenshot="+path)...)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	small := image.NewPaletted(picture.Bounds(), palette(picture))
	if len(small.Palette) < 16 {
		t.Errorf("%s has %d colours: it shows nothing", path, len(small.Palette))
	}
	draw.Draw(small, small.Bounds(), picture, picture.Bounds().Min, draw.Src)
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(out, small); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// palette is the most frequent colours of a picture.
func palette(picture image.Image) color.Palette {
	counts := map[color.RGBA]int{}
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	var all []color.RGBA
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var most color.Palette
	for _, c := range all[:min(len(all), 48)] {
		most = append(most, c)
	}
	return most
}
