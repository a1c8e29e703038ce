package capture

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// sysdig 0.29.3 of Debian 12 passes over kinds that are newer than it, and
// crashes at numbers of syscalls that are.
const newestOfSysdig = 329

// sysdigs is the output of sysdig for a file.
func sysdigs(t failer, file []byte, format string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "test.scap")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sysdig", "-r", path, "-p", "*"+format) // * shows events without some field too
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatal("sysdig:", err, errs.String())
	}
	return out.String()
}

// Sysdig reads recordings: the lists, the process of each event, and its
// parameters.
func TestSysdigReadsRecordings(t *testing.T) {
	needs.Programs(t, "sysdig")
	var b event.Builder
	header := func(k event.Kind) event.Header {
		return event.Header{Time: base, TID: 50, PID: 50, PPID: 1, VTID: 50, UID: 1000, GID: 100, LoginUID: 1000, Syscall: kindSyscall[k]}
	}
	add := func(wire []byte, k event.Kind, values map[string]any) []byte {
		b.Start(k, header(k))
		for name, v := range values {
			switch v := v.(type) {
			case string:
				b.Str(k.Info().Slot(name), v)
			case int:
				b.Int(k.Info().Slot(name), int64(v))
			}
		}
		return append(wire, b.Finish()...)
	}
	lists := add(nil, event.KindTask, map[string]any{"comm": "bash", "argv": "-bash\x00-i\x00", "exepath": "/bin/bash", "cwd": "/home/ann/", "vtgid": 50})
	lists = add(lists, event.KindUseradded, map[string]any{"uid": 1000, "gid": 100, "name": "ann", "home": "/home/ann", "shell": "/bin/sh"})
	var file bytes.Buffer
	w := NewWriter(&file, Machine{CPUs: 1})
	if err := w.Lists(lists, nothingOpen{}); err != nil {
		t.Fatal(err)
	}
	var v event.View
	for _, ev := range [][]byte{
		add(nil, event.KindOpenat, map[string]any{"fd": 3, "dirfd": -100, "name": "notes.txt", "flags": 1}),
		add(nil, event.KindRead, map[string]any{"res": 5, "data": "hello", "fd": 3}),
		add(nil, event.KindProcfork, map[string]any{"child": 60, "ppid": 50, "vpid": 60, "vtid": 60, "uid": 1000, "gid": 100}),
	} {
		if err := v.Reset(ev); err != nil {
			t.Fatal(err)
		}
		if err := w.Record(nil, &v); err != nil {
			t.Fatal(err)
		}
	}
	got := sysdigs(t, file.Bytes(), "%evt.type|%proc.name|%proc.args|%user.name|%fd.name|%evt.args")
	for _, want := range []string{
		"openat|bash|-i|ann|/home/ann/notes.txt|fd=3(<f>/home/ann/notes.txt) dirfd=-100(AT_FDCWD) name=notes.txt(/home/ann/notes.txt) flags=1(O_RDONLY)",
		"read|bash|-i|ann|/home/ann/notes.txt|res=5 data=hello",
		"clone|bash|-i|ann|<NA>|res=0 exe=-bash args=-i. tid=60(bash) pid=60(bash) ptid=50(bash)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("sysdig shows\n%swithout %q", got, want)
		}
	}
}

// Sysdig gets through a recording with every kind of event.
func TestSysdigReadsEveryKind(t *testing.T) {
	needs.Programs(t, "sysdig")
	var b event.Builder
	draw := rapid.Custom(func(t *rapid.T) [][]byte {
		list := [][]byte{drawEvent(t, &b, event.KindTask)}
		for k := range event.NumKinds {
			sc := uint16(0)
			if id := kindSyscall[k]; codeOf[k] == 0 && id != event.NoSyscall {
				sc = scNumbers[id]
			}
			if kind := event.Kind(k); kind != event.KindContainer && !Silent(kind) && sc <= newestOfSysdig { // not with random metadata
				list = append(list, drawEvent(t, &b, kind))
			}
		}
		return list
	})
	for seed := range 3 {
		list := draw.Example(seed)
		got := sysdigs(t, recorded(t, list[0], list[1:]), "%evt.type")
		if n := strings.Count(got, "\n"); n < 120 {
			t.Errorf("sysdig shows %d events of %d", n, len(list)-1)
		}
	}
}
