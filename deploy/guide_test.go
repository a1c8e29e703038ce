package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/kubernetes"
)

// guide is what docs/guide/kubernetes.md tells people to call.
type guide struct {
	t      *testing.T
	c      *kubernetes.Cluster
	values string          // the file that stands for values.yaml
	left   map[string]bool // lines that have not been tried
}

func newGuide(t *testing.T, c *kubernetes.Cluster, values string) *guide {
	t.Helper()
	text, err := os.ReadFile("../docs/guide/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{t, c, values, map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		line, code := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if code && (strings.HasPrefix(line, "helm ") || strings.HasPrefix(line, "kubectl ")) {
			g.left[line] = true
		}
	}
	return g
}

// try runs a line of the guide as it stands there, and returns its output.
func (g *guide) try(line string) string {
	g.t.Helper()
	if !g.left[line] {
		g.t.Errorf("the guide does not say %q", line)
	}
	delete(g.left, line)
	words := strings.Fields(line)
	for i, word := range words {
		switch word {
		case "values.yaml":
			words[i] = g.values
		case "deploy/helm/peregrine":
			words[i] = filepath.Join("helm", "peregrine")
		}
	}
	if words[0] == "helm" {
		return g.c.Run(g.t, g.c.Helm(words[1:]...))
	}
	return g.c.Run(g.t, g.c.Kubectl(words[1:]...))
}

// done says which lines have not been tried.
func (g *guide) done() {
	g.t.Helper()
	for line := range g.left {
		g.t.Errorf("the guide says %q, which was not tried", line)
	}
}
