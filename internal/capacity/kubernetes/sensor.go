package kubernetes

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
)

// inShell says whether the sensor is started by a script that passes no arguments on.
func (c *container) inShell() bool {
	command := slices.Concat(c.Command, c.Args)
	return len(command) > 2 && slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(command[0])) &&
		strings.HasSuffix(command[1], "c") && !strings.Contains(command[2], "$@")
}

// arguments are those of the container; if it has none, those of the sensor's image,
// which other arguments would replace.
func (c *container) arguments() []string {
	switch {
	case len(c.Command)+len(c.Args) > 0:
		return c.Args
	case c.ours():
		return []string{"sensor"}
	}
	return []string{"/usr/bin/falco"}
}

// ours says whether the sensor is Peregrine: by the name of its container, or by
// that of its image without registry and tag.
func (c *container) ours() bool {
	repository, _, _ := strings.Cut(c.Image, "@")
	image, _, _ := strings.Cut(path.Base(repository), ":")
	return c.Name == "peregrine" || strings.Contains(image, "peregrine") && !strings.Contains(image, "falco")
}

// inPlaceOf names the output that a copy's http_output replaces. The sensor's
// configuration files are not read, but its arguments may hold a URL. Only its
// host is shown: the rest may be a secret.
func (c *container) inPlaceOf() string {
	text := "in place of an http_output.url of its own"
	for _, arg := range c.Args {
		if _, value, ok := strings.Cut(arg, "http_output.url="); ok {
			text = "in place of its own http_output.url"
			if u, err := url.Parse(value); err == nil && u.Host != "" {
				text += ", at " + u.Host
			}
		}
	}
	return text
}

// falcoTag is the tag of Falco's images: "falco:0.37.1-slim", "falco-no-driver:0.36.0".
var falcoTag = regexp.MustCompile(`falco[a-z-]*:([^@]+)`)

// release is that of a Falco: by the tag of its image, or by the label of its chart. Ours
// has all that the newest has.
func (d *daemonSet) release(c *container) falco.Release {
	if c.ours() {
		return falco.Newest
	}
	if tag := falcoTag.FindStringSubmatch(c.Image); tag != nil && falco.Parse(tag[1]) != falco.Newest {
		return falco.Parse(tag[1])
	}
	return falco.Parse(d.Metadata.Labels["app.kubernetes.io/version"])
}

// metricsPort is the port of a container's metrics endpoint; 0 if it has none
// that can be read: the certificate of a web server with TLS is unknown here.
func (c *container) metricsPort(r falco.Release) int {
	if r.StatsEndpoint() == nil || c.ReadinessProbe.HTTPGet.Scheme == "HTTPS" || c.LivenessProbe.HTTPGet.Scheme == "HTTPS" {
		return 0
	}
	for _, p := range c.Ports {
		if p.Name == "web" {
			return p.Port
		}
	}
	return 0
}
