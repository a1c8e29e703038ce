package plan

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// open is an openat to look at.
type open struct {
	name, base string
	flags      uint64
	fd         int64
	file       event.FileInfo
}

func (o open) view(t *testing.T) *event.View {
	t.Helper()
	var b event.Builder
	slot := event.KindOpenat.Info().Slot
	b.Start(event.KindOpenat, event.Header{Res: o.fd})
	b.Int(slot("fd"), o.fd)
	b.Str(slot("name"), o.name)
	b.Uint(slot("flags"), o.flags)
	if o.base != "" {
		b.Str(slot("base"), o.base)
	}
	b.File(slot("file"), o.file, nil)
	var v event.View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	return &v
}

// Of an open as the kernel sends it, all names count, and those that cannot be
// known.
func TestNeededEvent(t *testing.T) {
	const read = event.OpenRead
	file, directory := event.FileInfo{Type: event.FDFile}, event.FileInfo{Type: event.FDDirectory}
	path := func(n int) string { return "/" + strings.Repeat("x", n-1) }
	for _, tt := range []struct {
		what      string
		condition string
		open      open
		want      bool
	}{
		{"its path", "fd.name = /etc/x", open{name: "/etc/x", flags: read}, true},
		{"another path", "fd.name = /etc/x", open{name: "/etc/y", flags: read}, false},
		{"its directory's and its own", "fd.name = /etc/x", open{name: "x", base: "/etc", flags: read}, true},
		{"the name in another directory", "fd.name = /etc/x", open{name: "x", base: "/usr", flags: read}, false},
		{"a directory that is not known", "fd.name = /etc/x", open{name: "y", flags: read}, true},
		{"an absolute path, whatever its directory", "fd.name = /usr/etc/x", open{name: "/etc/x", base: "/usr", flags: read}, false},
		{"a directory above", "fd.name = /etc", open{name: "..", base: "/etc/x", flags: read}, true},
		{"another above", "fd.name = /etc", open{name: "..", base: "/usr/x", flags: read}, false},
		{"two above, whose name is not clean", "fd.name = /etc", open{name: "../..", base: "/usr/x/y", flags: read}, true},
		{"the root above", "fd.name = /", open{name: "..", base: "/usr", flags: read}, true},
		{"the root above itself", "fd.name = /", open{name: "..", base: "/", flags: read}, true},
		{"a directory above with two names", "fd.name = /etc", open{name: "..", base: "/y/usr/x\x00/usr/x", flags: read}, true},
		{"an excluded directory", "not fd.name startswith /tmp", open{name: "x", base: "/tmp/y", flags: read}, false},
		{"another than the excluded one", "not fd.name startswith /tmp", open{name: "x", base: "/var/tmp", flags: read}, true},
		{"the longest path that is a name", "fd.name = /etc/x", open{name: path(field.MaxPath - 2), flags: read}, false},
		{"one that is cut", "fd.name = /etc/x", open{name: path(field.MaxPath - 1), flags: read}, true},
		{"the longest one with its directory", "fd.name = /etc/x", open{name: "y", base: path(field.MaxPath - 2), flags: read}, false},
		{"one that is cut with its directory", "fd.name = /etc/x", open{name: "y", base: path(field.MaxPath - 1), flags: read}, true},
		{"none", "fd.name = /etc/x", open{flags: read}, true},
		{"a directory", "fd.typechar = d", open{name: "/y", flags: read, file: directory}, true},
		{"no directory", "fd.typechar = d", open{name: "/y", flags: read, file: file}, false},
		{"no directory, exactly", "fd.typechar == d", open{name: "/y", flags: read, file: file}, false},
		{"no file", "fd.typechar = f", open{name: "/y", flags: read, file: directory}, false},
		{"a file", "fd.typechar = f", open{name: "/y", flags: read, file: file}, true},
		{"another letter", "fd.typechar != d", open{name: "/y", flags: read, file: directory}, true},
		{"a letter in a list", "fd.typechar in (d, f)", open{name: "/y", flags: read, file: directory}, true},
		{"a failed one, of a type that is not known", "fd.typechar = d", open{name: "/y", flags: read, fd: -2}, true},
		{"a directory that was made, of which nothing is known", "fd.typechar = f", open{name: "/y", flags: read | event.OpenCreat, file: directory}, true},
		{"a file without a name", "fd.name = /etc/x", open{name: "/y", flags: event.OpenWrite | event.OpenTmpfile, file: file}, true},
		{"the same for reading, which it is not", "fd.name = /etc/x", open{name: "/y", flags: read | event.OpenTmpfile, file: file}, false},
	} {
		opens, err := NewOpens(load(t, "evt.type = openat and "+tt.condition))
		if err != nil {
			t.Fatal(err)
		}
		if got := opens.NeededEvent(tt.open.view(t), "cat"); got != tt.want {
			t.Errorf("%s: %s: %v, want %v", tt.condition, tt.what, got, tt.want)
		}
	}
}
