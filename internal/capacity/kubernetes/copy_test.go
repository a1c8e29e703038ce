package kubernetes

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
)

// A copy differs from the template only in the points listed here.
func TestCopy(t *testing.T) {
	set := convert[daemonSet](daemonSetObject())
	spec := member(set.Spec.Template, "spec")
	spec["unknownToThisVersion"] = object{"kept": true}
	spec["containers"] = append(spec["containers"].([]any), object{"name": "falcoctl-artifact-follow", "args": []any{"artifact", "follow"}})
	spec["affinity"] = object{"podAffinity": object{"kept": true}, "nodeAffinity": object{"requiredDuringSchedulingIgnoredDuringExecution": object{}}}
	before := convert[object](set.Spec.Template)
	made := convert[object](set.makeCopy(copied{
		run: "r1", node: "n1", container: "falco", limit: capacity.Limit{CPU: 0.5, Memory: 256 << 20}, url: "http://10.0.0.1:18080",
		labels: map[string]string{"controller-revision-hash": "h7", "pod-template-generation": "3", "other": "x"}, deadline: time.Minute, extra: []string{"-A"}, release: falco.Newest,
	}))
	if diff := cmp.Diff(before, set.Spec.Template); diff != "" {
		t.Errorf("the template was changed (-before +after):\n%s", diff)
	}
	var changes []string
	diffs("", before, made, &changes)
	want := []string{
		"apiVersion: nothing, now \"v1\"",
		"kind: nothing, now \"Pod\"",
		"metadata.annotations: nothing, now {\"peregrine.dev/capacity\":\"{\\\"copy-of\\\":\\\"security/falco\\\",\\\"limit\\\":\\\"0.5 CPU, 256Mi\\\",\\\"run\\\":\\\"r1\\\"}\"}",
		"metadata.generateName: nothing, now \"falco-capacity-\"",
		"metadata.labels.controller-revision-hash: nothing, now \"h7\"",
		"metadata.labels.peregrine.dev/capacity-run: nothing, now \"r1\"",
		"metadata.labels.pod-template-generation: nothing, now \"3\"",
		"metadata.namespace: nothing, now \"security\"",
		`metadata.ownerReferences: nothing, now [{"apiVersion":"apps/v1","controller":true,"kind":"DaemonSet","name":"falco","uid":"ds-uid"}]`,
		"spec.activeDeadlineSeconds: nothing, now 60",
		`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: nothing, now [{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]`,
		`spec.containers: [...], now [...]`,
		`spec.tolerations: nothing, now [...]`,
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	containers := convert[[]struct {
		Args      []string
		Resources resources
	}](member(made, "spec")["containers"])
	if got := strings.Join(containers[0].Args, " "); !strings.HasPrefix(got, "/usr/bin/falco -o json_output=true ") || !strings.Contains(got, " -o http_output.enabled=true -o http_output.url=http://10.0.0.1:18080 ") || !strings.HasSuffix(got, " -A") {
		t.Errorf("the sensor's arguments are %s", got)
	}
	if got := strings.Join(containers[1].Args, " "); got != "artifact follow" {
		t.Errorf("the other container's arguments are %s", got)
	}
}

// diffs lists the differences of two trees, in the order of the keys.
func diffs(at string, before, after object, into *[]string) {
	for key, value := range sorted(after) {
		path := strings.TrimPrefix(at+"."+key, ".")
		old, had := before[key]
		was, is := text(old), text(value)
		inner, isObject := value.(object)
		of, wasObject := old.(object)
		switch {
		case isObject && wasObject:
			diffs(path, of, inner, into)
		case !had:
			*into = append(*into, fmt.Sprintf("%s: nothing, now %s", path, brief(is)))
		case was != is:
			*into = append(*into, path+": [...], now [...]")
		}
	}
	for key := range sorted(before) {
		if _, has := after[key]; !has {
			*into = append(*into, strings.TrimPrefix(at+"."+key, ".")+": gone")
		}
	}
}

func text(x any) string {
	text, _ := json.Marshal(x)
	return string(text)
}

func brief(text string) string {
	if len(text) > 200 {
		return "[...]"
	}
	return text
}

func TestLimited(t *testing.T) {
	for name, c := range map[string]struct {
		before resources
		limit  capacity.Limit
		want   resources
	}{
		"lower than the request": {
			resources{map[string]string{"cpu": "1", "memory": "1Gi"}, map[string]string{"cpu": "500m", "memory": "512Mi"}}, capacity.Limit{CPU: 0.25, Memory: 256 << 20},
			resources{map[string]string{"cpu": "250m", "memory": "268435456"}, map[string]string{"cpu": "250m", "memory": "268435456"}},
		},
		"higher than the limit": {
			resources{map[string]string{"cpu": "1", "memory": "1Gi"}, map[string]string{"cpu": "100m", "memory": "512Mi"}}, capacity.Limit{CPU: 2, Memory: 2 << 30},
			resources{map[string]string{"cpu": "2000m", "memory": "2147483648"}, map[string]string{"cpu": "100m", "memory": "512Mi"}},
		},
		"no request": {
			resources{map[string]string{"cpu": "1"}, nil}, capacity.Limit{CPU: 2, Memory: 1 << 30},
			resources{map[string]string{"cpu": "2000m", "memory": "1073741824"}, map[string]string{"cpu": "1", "memory": "0"}},
		},
		"nothing before": {
			resources{}, capacity.Limit{CPU: 0.5},
			resources{map[string]string{"cpu": "500m"}, map[string]string{"cpu": "0"}},
		},
		"a request of 0": {
			resources{map[string]string{"cpu": "1", "memory": "1Gi"}, map[string]string{"cpu": "0", "memory": "0Mi"}}, capacity.Limit{CPU: 2, Memory: 2 << 30},
			resources{map[string]string{"cpu": "2000m", "memory": "2147483648"}, map[string]string{"cpu": "0", "memory": "0Mi"}},
		},
		"a quantity that is not read": {
			resources{nil, map[string]string{"cpu": "5e7n", "memory": "1048575"}}, capacity.Limit{CPU: 2, Memory: 2 << 30},
			resources{map[string]string{"cpu": "2000m", "memory": "2147483648"}, map[string]string{"cpu": "5e7n", "memory": "1048575"}},
		},
		"no limit": {
			resources{map[string]string{"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, map[string]string{"cpu": "1"}}, capacity.Limit{},
			resources{map[string]string{"ephemeral-storage": "1Gi"}, map[string]string{"cpu": "1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, limited(c.before, c.limit)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestLog(t *testing.T) {
	text, _ := measured("--cpu 0.5")
	var told []string
	l := &log{tell: func(line string) { told = append(told, line) }}
	if err := l.read(strings.NewReader(text[:20])); err != nil || l.result != nil { // the connection broke
		t.Fatalf("a part of it: %v, %v", l.result, err)
	}
	told = nil
	if err := l.read(strings.NewReader(text)); err != nil || l.result == nil || l.result.Rows[0].Syscalls != 50e3 {
		t.Errorf("result %+v, %v", l.result, err)
	}
	if len(told) != 1 || told[0] != "report: /tmp/run/report.html" { // the line before was told
		t.Errorf("told: %q", told)
	}
	half := &log{tell: l.tell}
	if err := half.read(strings.NewReader("a\n{\n \"schema\": 2,\n")); err != nil || half.result != nil {
		t.Errorf("half a result: %v, %v", half.result, err)
	}
}

func FuzzLog(f *testing.F) {
	text, _ := measured("--cpu 1")
	f.Add(text)
	f.Add("{}")
	f.Add("a\n\n{")
	f.Fuzz(func(t *testing.T, text string) {
		l := &log{tell: func(string) {}}
		if err := l.read(strings.NewReader(text)); err == nil && l.result == nil && strings.HasPrefix(text, "{") && !strings.Contains(text, "\n") && json.Valid([]byte(text)) {
			t.Errorf("%q: neither a result nor an error", text)
		}
	})
}

// sorted goes through an object in the order of its keys.
func sorted(o object) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, key := range slices.Sorted(maps.Keys(o)) {
			if !yield(key, o[key]) {
				return
			}
		}
	}
}
