package field

import (
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Every table that a parameter names is there, and every table is named.
func TestFlagTablesMatchSchema(t *testing.T) {
	used := make(map[string]bool)
	for k := range event.Kind(event.NumKinds) {
		info := k.Info()
		if info.Slots() > maxSlots {
			t.Errorf("%s has %d slots, room is for %d", info.Name, info.Slots(), maxSlots)
		}
		for _, p := range info.Params {
			used[p.Table] = true
			if p.Table == "" || p.Type == event.Dyn {
				continue
			}
			if len(flagTables[p.Table]) == 0 {
				t.Errorf("%s.%s: no table %s", info.Name, p.Name, p.Table)
			}
		}
	}
	for name, table := range flagTables {
		if !used[name] {
			t.Errorf("table %s belongs to no parameter", name)
		}
		seen := make(map[string]bool)
		for _, f := range table {
			if seen[f.name] {
				t.Errorf("table %s: %s twice", name, f.name)
			}
			seen[f.name] = true
		}
	}
}

func TestFlagNames(t *testing.T) {
	for _, tt := range []struct {
		table string
		value uint32
		want  string
	}{
		{"file_flags", 0, "O_NONE"},
		{"file_flags", 1, "O_RDONLY"},
		{"file_flags", 3, "O_RDWR"},
		{"file_flags", 0x1003, "O_RDWR|O_CLOEXEC"},
		{"file_flags", 0x2401, "O_DIRECTORY|O_RDONLY|O_TMPFILE"},
		{"file_flags", 0x80000001, "O_RDONLY"},
		{"mmap_flags", 0x22, "MAP_PRIVATE|MAP_RENAME"},
		{"unlinkat_flags", 0, ""},
		{"splice_flags", 1 << 20, ""},
	} {
		if got := string(flagTables[tt.table].appendBits(nil, tt.value)); got != tt.want {
			t.Errorf("%s %#x = %q, want %q", tt.table, tt.value, got, tt.want)
		}
	}
	if got := string(flagTables["socket_families"].appendEnum(nil, 16)); got != "AF_ROUTE|AF_NETLINK" {
		t.Errorf("family 16 = %q", got)
	}
}

func TestNames(t *testing.T) {
	for n, want := range map[int64]string{-1: "EPERM", -2: "ENOENT", -11: "EAGAIN", -95: "EOPNOTSUPP", -115: "EINPROGRESS", -512: "ERESTARTSYS", 0: "", 5: "", -4000: ""} {
		if got := errnoName(n); got != want {
			t.Errorf("errnoName(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[uint64]string{1: "SIGHUP", 9: "SIGKILL", 17: "SIGCHLD", 0: "", 99: ""} {
		if got := signalName(n); got != want {
			t.Errorf("signalName(%d) = %q, want %q", n, got, want)
		}
	}
	if got := string(appendCaps(nil, 1<<40|1)); got != "CAP_CHOWN CAP_CHECKPOINT_RESTORE" {
		t.Errorf("capabilities %q", got)
	}
}

func TestClock(t *testing.T) {
	old := time.Local
	defer func() { time.Local = old }()
	time.Local = time.FixedZone("", -5*3600)
	var c clock
	for _, tt := range []struct {
		ns             uint64
		date, fraction bool
		want           string
	}{
		{1795359513447936116, false, true, "09:58:33.447936116"},
		{1795359513000000001, true, true, "2026-11-22 09:58:33.000000001"},
		{1795359513999999999, false, false, "09:58:33"},
		{1795359514000000000, true, false, "2026-11-22 09:58:34"},
		{0, true, true, "1969-12-31 19:00:00.000000000"},
	} {
		if got := string(c.appendLocal(nil, tt.ns, tt.date, tt.fraction)); got != tt.want {
			t.Errorf("%d = %q, want %q", tt.ns, got, tt.want)
		}
	}
	for _, ns := range []uint64{0, 1, 951782400e9, 1795359513447936116, 4102444799999999999} {
		want := time.Unix(0, int64(ns)).UTC().Format("2006-01-02T15:04:05.000000000")
		if got := string(AppendUTC(nil, ns)); got != want {
			t.Errorf("AppendUTC(%d) = %q, want %q", ns, got, want)
		}
	}
}

func TestServices(t *testing.T) {
	m := parseServices("# x\nhttp 80/tcp www # web\nwww2 80/tcp\ndomain\t53/udp\nbad\nworse x/tcp\n")
	for key, want := range map[serviceKey]string{{80, "tcp"}: "http", {53, "udp"}: "domain", {53, "tcp"}: ""} {
		if m[key] != want {
			t.Errorf("%v = %q, want %q", key, m[key], want)
		}
	}
}

func TestWildcard(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"/a*", "/a/b/c", true}, {"/a?", "/ab", true}, {"/a?", "/a", false}, {"/[ab]", "/b", true}, {"/[!ab]", "/b", false},
		{"/a.b", "/axb", false}, {"[", "[", true}, {`\`, `\`, true}, {"", "", true},
	} {
		match, err := wildcard(tt.pattern)
		if err != nil || match(tt.s) != tt.want {
			t.Errorf("%q on %q: %v, want %v", tt.pattern, tt.s, err, tt.want)
		}
	}
	if _, err := wildcard("[z-a]"); err == nil || !strings.Contains(err.Error(), "not a valid pattern") {
		t.Errorf("bad range: %v", err)
	}
}
