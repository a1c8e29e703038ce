package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// execInterest is an interest that has execs left out, and a probe for it; where
// the kernel cannot, the test is skipped.
func execInterest(t *testing.T) (*Probe, Interest) {
	t.Helper()
	p := loadOwn(t)
	if p.coll.Maps["untold"] == nil {
		t.Skip("the programs for this kernel have all execs sent")
	}
	if err := p.Snapshot(func([]byte) {}); err != nil { // names of processes
		t.Fatal(err)
	}
	unlinkat, _ := event.SyscallByName("unlinkat")
	p.SetExecEpoch(1)
	return p, Interest{Syscalls: []event.ID{unlinkat}, Execs: &ExecFilter{}}
}

// descendants are the events of a shell's descendants, and the forks that made
// them.
func descendants(tr *tracer, shell int) (events []recorded) {
	known := map[uint32]bool{uint32(shell): true}
	for _, e := range tr.events {
		h := e.Header()
		known[h.PID] = known[h.PID] || known[h.PPID]
		if known[h.PID] && (h.PID != uint32(shell) || h.Kind == event.KindProcfork) {
			events = append(events, e)
		}
		if h.Kind == event.KindProcfork && known[h.PID] {
			known[uint32(e.Uint(e.Info().Slot("child")))] = true
		}
	}
	return events
}

// lives are these events in words.
func lives(tr *tracer, shell int) (words []string) {
	for _, e := range descendants(tr, shell) {
		word := e.Header().Kind.String()
		if e.Header().Flags&event.Late != 0 {
			word += " (late)"
		}
		words = append(words, word)
	}
	return words
}

// traceShell traces a script of the shell, which is its process.
func traceShell(t *testing.T, p *Probe, in Interest, script string) (tr *tracer, shell int) {
	t.Helper()
	tr = traceInterest(t, p, in, func() {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Env = []string{"PATH=/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		shell = cmd.Process.Pid
	})
	return tr, shell
}

// learn makes the probe leave out the execs of the programs of a script; as many
// as are expected.
func learn(t *testing.T, p *Probe, in Interest, script string, want int) {
	t.Helper()
	tr, shell := traceShell(t, p, in, script)
	keys := 0
	for _, e := range descendants(tr, shell) {
		if k, ok := e.ExecKey(); ok {
			keys++
			if err := p.LeaveOutExec(&k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys != want {
		t.Fatalf("%d execs have a key, want %d: %q", keys, want, lives(tr, shell))
	}
}

// A process whose exec no rule can match is told before its first event that is
// sent, or never.
func TestUntoldProcesses(t *testing.T) {
	p, in := execInterest(t)
	learn(t, p, in, "/bin/true; /bin/rm -f /none; :", 2)
	for _, tt := range []struct{ script, want string }{
		{"/bin/true; /bin/true 1; X=2 /bin/true", ""},
		{"/bin/rm -f /none", "execve (late) unlinkat procexit"},
		{"(exit 0)", ""},
		{"(exec /bin/true)", ""},
		{"(/bin/true; exit 0)", "procfork (late) procfork (late) execve procexit procexit"}, // a child with other ancestors
		{"/bin/sleep 0", "procfork (late) execve procexit"},
		{"(exec /bin/sh -c 'exec /bin/true')", "procfork (late) execve execve procexit"},
	} {
		// The colon keeps the shell from running the last command itself.
		tr, shell := traceShell(t, p, in, tt.script+"; :")
		if got := strings.Join(lives(tr, shell), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.script, got, tt.want)
		}
	}
}

// A process with children is told before the first event of a descendant, and
// those between them, or never.
func TestUntoldAncestors(t *testing.T) {
	p, in := execInterest(t)
	dir := t.TempDir()
	learn(t, p, in, "(/bin/true; (/bin/true; /bin/rm -f /none; :); :); /bin/sh -c 'exit 0'; :", 4)
	const removes = "procfork (late) execve (late) unlinkat procexit procexit procexit"
	for _, tt := range []struct{ script, want string }{
		{"(/bin/true; :)", ""},
		{"(/bin/true; (/bin/true; (exit 0)); (exit 0); :)", ""},
		{"(/bin/true | /bin/true; (exit 0) | (exit 0) | (exit 0) | (exit 0); :)", ""},
		{"/bin/sh -c '/bin/true; (/bin/true; :); :'", ""},
		{"(/bin/true; (/bin/rm -f /none; :); :)", "procfork (late) " + removes},
		{"/bin/sh -c '/bin/true; (/bin/rm -f /none; :); :'", "execve (late) " + removes},
		{"(cd " + dir + "; (/bin/true; :); (/bin/rm -f /none; :); :)", "procfork (late) " + removes},
		// A line has so many, and one more that has been told.
		{strings.Repeat("(", 20) + ":" + strings.Repeat("; :)", 20), strings.Repeat("procfork (late) ", 15) + strings.TrimSpace(strings.Repeat("procexit ", 15))},
	} {
		tr, shell := traceShell(t, p, in, tt.script+"; :")
		if got := strings.Join(lives(tr, shell), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.script, got, tt.want)
		}
	}
}

// A process that stays is told when another one takes its place. It echoes what
// the shell writes, so that its exec is over before the shell makes others: a
// process whose fork is held is told before its parent's next fork.
func TestUntoldMakesRoom(t *testing.T) {
	p, in := execInterest(t)
	dir := t.TempDir()
	for _, name := range []string{"to", "from"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	learn(t, p, in, "/bin/true; /bin/cat </dev/null; :", 2)
	tr, shell := traceShell(t, p, in, "cd "+dir+"; /bin/cat <to >from & exec 3>to; exec 4<from; echo x >&3; read x <&4;"+
		"i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done; exec 3>&-; wait; :")
	told := map[string]int{}
	for _, word := range lives(tr, shell) {
		told[word]++
	}
	if told["execve (late)"] != 1 || told["procexit"] != 1 {
		t.Errorf("%v, want an execve told late, and an exit", told)
	}
}

// What rules may see of an exec makes another key of it.
func TestExecKey(t *testing.T) {
	p, in := execInterest(t)
	dir := t.TempDir()
	if err := os.Symlink("/bin/true", filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	in.Execs = patternFilter("xyz")
	learn(t, p, in, "/bin/true; :", 1)
	sent := "procfork (late) execve procexit"
	for _, tt := range []struct{ script, want string }{
		{"/bin/true 1 2 3", ""},
		{"A=1 /bin/true", ""},
		{"/bin/true 1 xyz", sent},
		{"/bin/true 1xyz", sent},
		{"A=XyZ /bin/true", sent},
		{"/bin/true " + strings.Repeat("x", 31) + "yz", sent},
		{dir + "/other", sent},                            // argv[0], and the name
		{"umask 0; /bin/true", ""},                        // nothing that rules see
		{"cd /usr; /bin/true", ""},                        // pattern by pattern
		{"/bin/true " + strings.Repeat("x ", 3000), sent}, // cut
	} {
		tr, shell := traceShell(t, p, in, tt.script+"; :")
		if got := strings.Join(lives(tr, shell), " "); got != tt.want {
			t.Errorf("%.60s: %q, want %q", tt.script, got, tt.want)
		}
	}
	p.SetExecEpoch(2)
	tr, shell := traceShell(t, p, in, "/bin/true; :")
	if got := strings.Join(lives(tr, shell), " "); got != sent {
		t.Errorf("in a new epoch: %q, want %q", got, sent)
	}
}

// patternFilter finds one pattern, none of whose characters occurs in it twice.
func patternFilter(pattern string) *ExecFilter {
	f := &ExecFilter{}
	for i, c := range []byte(pattern) {
		class := uint8(i + 1)
		f.Classes[c], f.Classes[c-'a'+'A'] = class, class
		for state := range len(pattern) {
			if state == i {
				f.Next[state<<6|int(class)] = uint16(i + 1)
			} else if i == 0 {
				f.Next[state<<6|int(class)] = 1
			}
		}
	}
	f.Met[len(pattern)] = 1
	return f
}

// The probe and this package make the same number of the names of ancestors.
func TestHashAncestors(t *testing.T) {
	p, in := execInterest(t)
	tr, shell := traceShell(t, p, in, "/bin/true; :")
	names := []string{"sh"}
	for pid := os.Getpid(); pid > 0; {
		s, err := procfs.Root("/proc").Stat(pid)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, s.Comm)
		pid = int(s.PPID)
	}
	want := p.HashAncestors(slices.Values(names))
	for _, e := range tr.events {
		if k, ok := e.ExecKey(); ok && e.Header().PPID == uint32(shell) {
			if k.Ancestors != want {
				t.Errorf("ancestors %x, want %x, of %q", k.Ancestors, want, names)
			}
			return
		}
	}
	t.Error("no exec has a key")
}
