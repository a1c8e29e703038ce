package container

import (
	"strings"
	"testing"
)

func TestSplitImage(t *testing.T) {
	for _, tt := range []struct{ ref, repository, tag, digest string }{
		{"nginx", "nginx", "", ""},
		{"nginx:1.27", "nginx", "1.27", ""},
		{"registry:5000/team/app", "registry:5000/team/app", "", ""},
		{"registry:5000/team/app:v1", "registry:5000/team/app", "v1", ""},
		{"registry:5000/team/app:v1@sha256:00ff", "registry:5000/team/app", "v1", "sha256:00ff"},
		{"app@sha256:00ff", "app", "", "sha256:00ff"},
		{"sha256:00ff", "", "", ""},
		{strings.Repeat("0f", 32), "", "", ""},
		{strings.Repeat("0f", 31), strings.Repeat("0f", 31), "", ""},
		{"", "", "", ""},
	} {
		if r, tag, d := SplitImage(tt.ref); r != tt.repository || tag != tt.tag || d != tt.digest {
			t.Errorf("%q: %q %q %q", tt.ref, r, tag, d)
		}
	}
}
