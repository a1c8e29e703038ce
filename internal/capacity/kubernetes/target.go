package kubernetes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// daemonSet is the sensor as it is installed.
type daemonSet struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Template object `json:"template"`
	} `json:"spec"`
}

// name is NAMESPACE/NAME.
func (d *daemonSet) name() string { return d.Metadata.Namespace + "/" + d.Metadata.Name }

// label is the name as a label's value: those have 63 characters and no slash.
func (d *daemonSet) label() string {
	name := d.Metadata.Namespace + "." + d.Metadata.Name
	const most = 63
	if len(name) <= most {
		return name
	}
	return fmt.Sprintf("%.40s-%x", name, sha256.Sum256([]byte(name)))[:most]
}

// knownSensors are the values of app.kubernetes.io/name that sensors have, and
// the names of their containers: those of Falco's chart and of ours.
var knownSensors = []string{"falco", "peregrine"}

const nameLabel = "app.kubernetes.io/name"

// findSensor returns the DaemonSet that is called NAMESPACE/NAME, or the only
// one of a known sensor if that is "".
func findSensor(ctx context.Context, client *kubeapi.Client, name string) (*daemonSet, error) {
	if name != "" {
		namespace, short, ok := strings.Cut(name, "/")
		if !ok || namespace == "" || short == "" {
			return nil, fmt.Errorf("DaemonSet %q: expected NAMESPACE/NAME", name)
		}
		d := &daemonSet{}
		err := client.Get(ctx, kubeapi.In("apis/apps/v1", namespace, "daemonsets", short), d)
		if kubeapi.Is(err, 404) {
			err = refuse("there is no DaemonSet %s", name)
		}
		return d, err
	}
	var found list[daemonSet]
	selector := fmt.Sprintf("%s in (%s)", nameLabel, strings.Join(knownSensors, ","))
	if err := client.Get(ctx, "/apis/apps/v1/daemonsets?labelSelector="+url.QueryEscape(selector), &found); err != nil {
		return nil, err
	}
	switch len(found.Items) {
	case 0:
		return nil, refuse("no DaemonSet has the label %s: name the sensor's with --daemonset NAMESPACE/NAME", selector)
	case 1:
		return &found.Items[0], nil
	}
	var names []string
	for _, d := range found.Items {
		names = append(names, d.name())
	}
	return nil, refuse("several sensors are installed: choose one with --daemonset %s", strings.Join(names, " or "))
}

// sensor finds the sensor's container in the template: the one of that name, the
// one that is called like a known sensor, or the only one.
func (d *daemonSet) sensor(name string) (container, error) {
	template := convert[pod](d.Spec.Template)
	var names []string
	for _, c := range template.Spec.Containers {
		names = append(names, c.Name)
	}
	at := slices.IndexFunc(names, func(n string) bool {
		return n == name || name == "" && (len(names) == 1 || slices.Contains(knownSensors, n))
	})
	if at < 0 {
		return container{}, refuse("DaemonSet %s has the containers %s: name the sensor's with --sensor-container", d.name(), strings.Join(names, ", "))
	}
	return template.Spec.Containers[at], nil
}

// inPlaceOf says what a copy's http_output stands for. The sensor's configuration
// is in files that are not read: its arguments may name a URL. Of that, only
// the host is shown: the rest may be a secret.
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

// falcoVersion is in the tag of Falco's images: "falco:0.37.1-slim".
var falcoVersion = regexp.MustCompile(`falco[a-z-]*:v?0\.(\d+)`)

// metricsPort is the port of a container's metrics endpoint; 0 if it has none. Falco
// serves metrics since 0.38.
func (c *container) metricsPort() int {
	if v := falcoVersion.FindStringSubmatch(c.Image); v != nil {
		if minor, _ := strconv.Atoi(v[1]); minor < 38 {
			return 0
		}
	}
	for _, p := range c.Ports {
		if p.Name == "web" {
			return p.Port
		}
	}
	return 0
}
