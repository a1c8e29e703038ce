package page

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/pagetest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestAdd(t *testing.T) {
	c := Chart{Lines: []Line{{Name: "a"}, {Name: "b"}}}
	if !c.Empty() {
		t.Error("a chart without points is not empty")
	}
	c.Add(math.Inf(1), 1, 1)
	c.Add(math.NaN(), 1, 1)
	c.Add(1, math.NaN(), math.NaN())
	if !c.Empty() {
		t.Error("a chart of gaps is not empty")
	}
	c.Add(1, 5, math.NaN())
	c.Add(0, math.Inf(-1), 6)
	if c.Empty() || len(c.X.Values) != 3 || !(c.X.Values[0] < c.X.Values[1] && c.X.Values[1] < c.X.Values[2]) {
		t.Errorf("x is not rising: %v", c.X.Values)
	}
	text, err := json.Marshal(c.Lines)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"a","color":"","values":[null,5,null]},{"name":"b","color":"","values":[null,null,6]}]`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}

// handled is a script that operates the chart of the page, and checks the
// effects.
const handled = `<script>
addEventListener("load", async () => {
  const box = document.getElementById("it"), root = document.documentElement, pause = () => new Promise(done => setTimeout(done, 50));
  await pause();
  const over = box.querySelector(".u-over"), place = over.getBoundingClientRect();
  const mouse = (type, x, target) => target.dispatchEvent(new MouseEvent(type,
    { bubbles: true, movementX: 1, clientX: place.left + place.width * x, clientY: place.top + place.height / 2 }));
  const press = key => box.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const drag = (from, to) => { mouse("mousedown", from, over); mouse("mousemove", to, over); mouse("mouseup", to, document); };
  const see = async name => {
    await pause();
    root.setAttribute("data-" + name, (box.dataset.zoomed || "false") + " " + [...box.querySelectorAll(".key b")].map(b => b.textContent).join("|"));
  };
  mouse("mousemove", 0.5, over); await see("hover");
  drag(0.2, 0.6); mouse("mousemove", 0, over); await see("dragged");
  mouse("dblclick", 0.5, over); mouse("mousemove", 0, over); await see("double-click");
  mouse("mousemove", 0.5, over); press("+"); mouse("mousemove", 0, over); await see("plus");
  mouse("mousemove", 0.5, over); press("-"); mouse("mousemove", 0, over); await see("minus");
  press("+"); await see("again");
  press("Escape"); mouse("mousemove", 1, over); await see("escape");
  press("ArrowLeft"); await see("left");
  drag(0.2, 0.6); await pause(); box.querySelector("button").click(); mouse("mousemove", 0, over); await see("button");
});
</script>`

// A chart shows values, and can be zoomed and reset, by mouse and keyboard; a
// page with it has no error.
func TestHandling(t *testing.T) {
	c := Chart{ID: "it", Height: 200, X: Axis{Unit: Seconds}, Y: Axis{Unit: Millis}, Lines: []Line{{Name: "a", Color: "accent"}, {Name: "b", Color: "drops"}},
		Marks: []Mark{{Name: "m", Color: "warn", X: new(float64)}}, Spans: []Span{{0, 50, true}}}
	for x := range 101 {
		c.Add(float64(x), float64(x)/10, 1000)
	}
	template := Parse(fstest.MapFS{"main.html": {Data: []byte(`{{define "main"}}<h1>{{.Name}}</h1>{{template "charts" .Charts}}{{template "hint"}}{{end}}`)}}, "main.html")
	var b strings.Builder
	if err := template.Write(&b, "<title>", []Chart{c}, struct {
		Name   string
		Charts []Chart
	}{"<main>", []Chart{c}}); err != nil {
		t.Fatal(err)
	}
	dom, console := pagetest.Browse(t, pagetest.File(t, b.String()+handled))
	if console != "" {
		t.Errorf("console: %s", console)
	}
	for name, want := range map[string]string{
		"hover": "false 5 ms|1 s|at 50 s", "dragged": "true 2 ms|1 s|at 20 s", "double-click": "false 0 ms|1 s|at 0 s", "plus": "true 2.5 ms|1 s|at 25 s",
		"minus": "false 0 ms|1 s|at 0 s", "escape": "false 10 ms|1 s|at 100 s", "left": "false 9.9 ms|1 s|at 99 s", "button": "false 0 ms|1 s|at 0 s",
	} {
		found := regexp.MustCompile(`data-` + name + `="([^"]*)"`).FindStringSubmatch(dom)
		if len(found) == 0 || found[1] != want {
			t.Errorf("%s: %q, want %q", name, found, want)
		}
	}
}

// Values beyond what a logarithmic axis can show leave a page that works.
func TestExtremeValues(t *testing.T) {
	charts := []Chart{}
	for _, values := range [][]float64{{1, math.MaxFloat64}, {0, 1}, {-1, 1}, {math.SmallestNonzeroFloat64, 1}} {
		c := Chart{ID: "c" + strconv.Itoa(len(charts)), Height: 200, X: Axis{Log: true}, Y: Axis{Log: true}, Lines: []Line{{Name: "a", Color: "accent"}}}
		for _, v := range values {
			c.Add(v, v)
		}
		charts = append(charts, c)
	}
	template := Parse(fstest.MapFS{"main.html": {Data: []byte(`{{define "main"}}{{template "charts" .}}{{end}}`)}}, "main.html")
	var b strings.Builder
	if err := template.Write(&b, "extreme", charts, charts); err != nil {
		t.Fatal(err)
	}
	dom, console := pagetest.Browse(t, pagetest.File(t, b.String()))
	if n := strings.Count(dom, `data-drawn="`); console != "" || n != len(charts) {
		t.Errorf("%d of %d charts drawn; console: %s", n, len(charts), console)
	}
}
