package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	embedded "github.com/peregrine-sec/peregrine/rules"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// program is what an exec makes of a process.
type program struct {
	comm, exePath string
	argv, env     []string
	cwd           string
	tty, exeFlags uint64
	caps, ino     uint64
}

func (p program) exec(t testing.TB, w *fieldtest.World, pid int) *field.Context {
	t.Helper()
	list := func(entries []string) string {
		if len(entries) == 0 {
			return ""
		}
		return strings.Join(entries, "\x00") + "\x00"
	}
	return w.Event(t, pid, event.KindExecve,
		fieldtest.Num("res", 0), fieldtest.Text("comm", p.comm), fieldtest.Text("exe", p.argv[0]), fieldtest.Text("args", list(p.argv[1:])),
		fieldtest.Text("env", list(p.env)), fieldtest.Text("cwd", p.cwd), fieldtest.Text("trusted_exepath", p.exePath),
		fieldtest.Num("tty", int64(p.tty)), fieldtest.Num("flags", int64(p.exeFlags)), fieldtest.Num("exe_ino", int64(p.ino)),
		fieldtest.Num("cap_permitted", int64(p.caps)), fieldtest.Num("cap_effective", int64(p.caps)))
}

// texts are those that the probe reads.
func (p program) texts() string {
	return strings.Join([]string{p.comm, strings.Join(p.argv, "\x00"), strings.Join(p.env, "\x00"), p.cwd}, "\x00")
}

// Execs are looked at as a whole only if the rules allow, and users do not ask for
// all.
func TestAskedForExecs(t *testing.T) {
	for _, tt := range []struct {
		condition string
		opts      Options
		want      bool
	}{
		{"evt.type=execve and proc.name=x", Options{}, true},
		{"evt.type=openat", Options{}, true},
		{"evt.type=execve and proc.name=x", Options{All: true}, true},
		{"evt.type=execve and proc.name=x", Options{Unmasked: true}, false},
		{"evt.type=execve and proc.name=x", Options{Custom: []string{"mkdir", "!clone"}}, true},
		{"evt.type=execve and proc.name=x", Options{Custom: []string{"execve"}}, false},
		{"evt.type=execve and proc.name=x", Options{Custom: []string{"execveat"}}, false},
		{"evt.type=execve and proc.name=x", Options{Custom: []string{"clone"}}, false},
		{"evt.type=execve and proc.name=x", Options{Custom: []string{"vfork"}}, false},
		{"evt.type in (execve, procexit) and proc.name=x", Options{}, false},
		{"proc.name=x", Options{}, false}, // exits, too
		{"evt.type=execve", Options{}, false},
		{"evt.type=execve and proc.pid > 1", Options{}, false},
		{"evt.type=execve and evt.failed=true", Options{}, true},
	} {
		if got := newPlan(t, tt.opts, tt.condition).Execs != nil; got != tt.want {
			t.Errorf("%s with %+v: %v, want %v", tt.condition, tt.opts, got, tt.want)
		}
	}
}

func TestPossibleExecs(t *testing.T) {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 14, Comm: "sshd"}, fieldtest.Proc{PID: 15, PPID: 14, Comm: "a"}, fieldtest.Proc{PID: 16, PPID: 13},
		fieldtest.Proc{PID: 17, PPID: 14, Cgroups: []string{"memory=/docker/" + strings.Repeat("ab", 32)}},
	)
	cat := program{comm: "cat", exePath: "/bin/cat", argv: []string{"cat", "/etc/shadow"}, env: []string{"A=b"}, cwd: "/tmp"}
	for _, tt := range []struct {
		condition string
		pid       int
		want      bool
	}{
		{"proc.name=cat", 15, true},
		{"proc.name=dog", 15, false},
		{"proc.name=dog", 16, true}, // whose parent is not known
		{"proc.name=dog", 17, true}, // whose container's metadata are on their way
		{"proc.name=cat and proc.pname=sshd", 15, true},
		{"proc.name=cat and proc.pname=bash", 15, false},
		{"proc.name=cat and evt.failed=true", 15, false},
		{"proc.name=cat and evt.rawres=0", 15, true},
		{"proc.name=cat and proc.args contains shadow", 15, true},
		{"proc.name=cat and proc.args contains passwd", 15, false},
		{"proc.name=cat and not proc.args contains passwd", 15, true},
		{"proc.name=cat and not proc.args contains shadow", 15, true}, // in another exec it may be elsewhere
		{"proc.name=cat and proc.env contains shadow", 15, true},
		{"proc.name=cat and proc.cwd=/tmp/", 15, true},
		{"proc.name=cat and proc.cwd=/var/", 15, false},
		{"proc.name=cat and proc.args in ()", 15, false},
		{"proc.name=cat and (proc.sid=3 or proc.args contains passwd)", 15, true},
		{"proc.name=cat and proc.sid=3 and proc.args contains passwd", 15, false},
		{"proc.name=cat and user.name=root and container.id=host", 15, true},
		{"proc.name=cat and user.name!=root", 15, false},
	} {
		e := newPlan(t, Options{}, "evt.type=execve and "+tt.condition).Execs
		if e == nil {
			t.Fatalf("%s: nil", tt.condition)
		}
		c := cat.exec(t, w, tt.pid)
		if got := e.Possible(c, e.Texts.Read(cat.texts())); got != tt.want {
			t.Errorf("%s by %d: %v, want %v", tt.condition, tt.pid, got, tt.want)
		}
	}
}

// execChecks are telling checks of covered fields, of texts, and of others.
var execChecks = []string{
	"proc.name = cat", "proc.name != cat", "proc.name in (sh, dog)", "proc.pname = sshd", "proc.aname = init", "proc.aname[2] = init", "proc.exe = cat",
	"proc.exepath startswith /bin", "proc.tty != 0", "user.uid = 0", "user.name = alice", "user.loginuid = -1", "proc.is_exe_writable = true", "proc.exe_ino > 5",
	"container.id = host", "container.name exists", "thread.cap_permitted contains CAP_SYS_ADMIN", "proc.name = val(proc.pname)", "proc.exe = val(proc.name)",
	"proc.args = ab", `proc.args = ""`, `proc.args != ""`, "proc.args = 'ab cd'", "proc.args contains b", "proc.args icontains BC", "proc.args startswith c",
	"proc.args endswith 'd'", "proc.args glob '*b*d'", "proc.args glob 'a[bc]*'", "proc.args iglob 'A?CD*'", "proc.args pmatch (/tmp, cd)", "proc.args in (ab, cd)",
	"proc.args intersects (cd, '')", "proc.args contains allof (a, b)", "proc.args contains oneof (a, d)", "proc.args[0] = ab", "proc.args[1] = ''", "proc.args regex 'a.*'",
	"toupper(proc.args) contains CD", "b64(proc.args) = x", "len(proc.args) > 3", "len(proc.args) >= 3000", "proc.args < 1", "proc.cmdline = cat", "proc.cmdline startswith 'cat ab'",
	"proc.cmdline contains 't a'", "proc.cmdline endswith at", "proc.exeline = 'cat ab'", "proc.exeline contains 'x c'", "proc.env contains 'A='", "proc.env[A] = ab",
	"proc.env[A] = ''", "proc.env = 'A=ab B=cd'", "proc.env icontains 'a=AB'", "proc.cwd = /tmp/", "proc.cwd = /", "proc.cwd startswith /tmp/ab/", "proc.cwd pmatch (/tmp/ab)",
	"proc.cwd glob '/t*/ab/'", "proc.cwd endswith /cd/", "proc.cwd contains /", "tolower(proc.cwd) = /tmp/", "proc.cmdnargs > 1", "proc.pid = 16", "proc.sid = 16",
	"proc.vpgid.name = cat", "evt.failed = true", "evt.res = SUCCESS", "evt.rawres >= 0", "evt.arg.exe = cat", "proc.acmdline contains ab", "fd.name exists",
}

// texts draws what differs between execs with the same covered facts.
func (p program) drawTexts(rt *rapid.T) program {
	word := rapid.SampledFrom([]string{"", "ab", "cd", "abcd", "AB", "b", strings.Repeat("ab", 1024), strings.Repeat("ab", 600), "/tmp/cd", "a b", "x", "YWI="})
	p.argv = append([]string{p.argv[0]}, rapid.SliceOfN(word, 0, 3).Draw(rt, "arguments")...)
	p.env = rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
		return rapid.SampledFrom([]string{"A=", "B=", "a="}).Draw(rt, "variable") + word.Draw(rt, "value")
	}), 0, 2).Draw(rt, "environment")
	p.cwd = rapid.SampledFrom([]string{"/", "/tmp", "/tmp/ab", "/tmp/ab/cd", "/TMP", "/ab"}).Draw(rt, "directory")
	return p
}

// execRule is a rule about execs, alone in a plan.
type execRule struct {
	condition string
	execs     *Execs
	matches   filter.Predicate
}

func newExecRule(t *testing.T, condition string) execRule {
	t.Helper()
	condition = "evt.type=execve and (" + condition + ")"
	p := newPlan(t, Options{}, condition)
	matches, err := filter.NewCompiler(field.Lookup).Forgetful().Compile(filter.Specialise(p.Rules[0].Node, event.KindExecve, 0))
	if err != nil {
		t.Fatal(err)
	}
	return execRule{condition, p.Execs, matches}
}

// judge counts the execs that are left out, and those that are not though they
// match; it fails if an exec is left out like which another one matches.
func (r execRule) judge(t *testing.T, rt *rapid.T, w *fieldtest.World, pid int, list []program) (left, matched int) {
	t.Helper()
	if r.execs == nil {
		return 0, 0
	}
	leftOut := map[uint64]program{} // by what is met
	matching := map[uint64]program{}
	for _, p := range list {
		c, met := p.exec(t, w, pid), r.execs.Texts.Read(p.texts())
		if r.matches(c) {
			matching[met] = p
			matched++
		}
		if !r.execs.Possible(c, met) {
			leftOut[met] = p
			left++
		}
	}
	for met, p := range matching {
		if q, ok := leftOut[met]; ok && len(strings.Join(p.argv, "\x00"))+1 <= ExecArgsMax {
			rt.Fatalf("%s is true of %+v, which is left out after %+v", r.condition, p, q)
		}
	}
	return left, matched
}

// If a rule matches an exec, it can match all those with the same facts.
func TestExecsAreSound(t *testing.T) {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 12, Comm: "init"}, fieldtest.Proc{PID: 13, PPID: 12, Comm: "sshd"}, fieldtest.Proc{PID: 14, PPID: 13, Comm: "cat"},
		fieldtest.Proc{PID: 15, PPID: 13, Comm: "a"}, fieldtest.Proc{PID: 16, PPID: 14, Comm: "b", UID: 1000},
	)
	var single []execRule
	for _, check := range execChecks {
		single = append(single, newExecRule(t, check), newExecRule(t, "not "+check))
	}
	left, matched := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		one := program{
			comm: rapid.SampledFrom([]string{"cat", "sh", "ab"}).Draw(rt, "name"), exePath: rapid.SampledFrom([]string{"/bin/cat", "/tmp/x"}).Draw(rt, "program"),
			argv: []string{rapid.SampledFrom([]string{"cat", "x", ""}).Draw(rt, "argv[0]")}, tty: uint64(rapid.IntRange(0, 1).Draw(rt, "terminal")),
			exeFlags: uint64(rapid.IntRange(0, 1).Draw(rt, "writable")), caps: uint64(rapid.IntRange(0, 1).Draw(rt, "capabilities") << 21), ino: 6,
		}
		var list []program
		for range 12 {
			list = append(list, one.drawTexts(rt))
		}
		pid := rapid.SampledFrom([]int{15, 16}).Draw(rt, "process")
		several := newExecRule(t, conditionsOver(execChecks, 3).Draw(rt, "condition"))
		for _, r := range append(slices.Clip(single), several) {
			l, m := r.judge(t, rt, w, pid, list)
			left, matched = left+l, matched+m
		}
	})
	if left == 0 || matched == 0 {
		t.Errorf("%d execs left out, %d matched", left, matched)
	}
}

// files reads rule files; of the repository without any.
func files(t testing.TB, paths ...string) []*rules.Rule {
	t.Helper()
	var sources []rules.Source
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, rules.Source{Name: filepath.Base(path), Content: content})
	}
	if len(paths) == 0 {
		for _, name := range embedded.Names {
			sources = append(sources, rules.Source{Name: name, Content: embedded.Read(name)})
		}
	}
	set, report := rules.Load(sources, rules.Options{Lookup: field.Lookup})
	if set == nil {
		t.Fatal(report.Err())
	}
	return set.Enabled(alert.Debug)
}

// hostEnv is the environment of a login.
var hostEnv = []string{"SHELL=/bin/bash", "PWD=/root/src", "LOGNAME=root", "HOME=/root", "LANG=C.UTF-8", "TERM=xterm-256color", "USER=root", "SHLVL=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "_=/usr/bin/make"}

// ordinary are programs as they run on hosts all the time.
var ordinary = []program{
	{comm: "true", exePath: "/usr/bin/true", argv: []string{"/usr/bin/true"}},
	{comm: "python3", exePath: "/usr/bin/python3.11", argv: []string{"python3", "x.py"}},
	{comm: "compile", exePath: "/usr/local/go/pkg/tool/linux_amd64/compile", argv: []string{"/usr/local/go/pkg/tool/linux_amd64/compile", "-o", "/tmp/go-build1/b001/_pkg_.a", "-trimpath", "/tmp/go-build1/b001=>", "-p", "main", "-complete", "-pack", "./main.go"}},
	{comm: "find", exePath: "/usr/bin/find", argv: []string{"find", ".", "-name", "*.go"}},
}

// hostWorld is a host on which a shell makes the process 15.
func hostWorld(t testing.TB) *fieldtest.World {
	return fieldtest.New(t, fieldtest.Proc{PID: 1, Comm: "systemd"}, fieldtest.Proc{PID: 13, PPID: 1, Comm: "sshd"}, fieldtest.Proc{PID: 14, PPID: 13, Comm: "bash"}, fieldtest.Proc{PID: 15, PPID: 14, Comm: "bash"})
}

// Ordinary execs on the host match no rule, whatever their texts are beyond the
// parts.
func TestOrdinaryExecs(t *testing.T) {
	sets := map[string][]*rules.Rule{"default": files(t)}
	for _, set := range corpus.Rules(t) {
		sets[set.Name] = files(t, set.Files...)
	}
	w := hostWorld(t)
	for name, list := range sets {
		p, err := New(list, Options{Lookup: field.Lookup})
		if err != nil {
			t.Fatal(err)
		}
		if p.Execs == nil {
			t.Errorf("%s: all execs are possible", name)
			continue
		}
		for _, one := range ordinary {
			one.env, one.cwd, one.tty = hostEnv, "/root/src", 34816
			c := one.exec(t, w, 15)
			if met := p.Execs.Texts.Read(one.texts()); p.Execs.Possible(c, met) {
				t.Errorf("%s: %s is possible with %x: %s", name, one.comm, met, strings.Join(possibleRules(t, p, c, met), ", "))
			}
		}
	}
}

// possibleRules are the names of the rules for which an exec is possible.
func possibleRules(t testing.TB, p *Plan, c *field.Context, met uint64) (names []string) {
	for _, r := range p.Rules {
		alone, err := New([]*rules.Rule{r}, Options{Lookup: field.Lookup})
		if err != nil {
			t.Fatal(err)
		}
		if alone.Execs == nil || alone.Execs.Possible(c, ^uint64(0)) {
			names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.Condition))
		}
	}
	return names
}

func BenchmarkPossibleExec(b *testing.B) {
	p, err := New(files(b), Options{Lookup: field.Lookup})
	if err != nil {
		b.Fatal(err)
	}
	one := ordinary[1]
	one.env, one.cwd = hostEnv, "/root/src"
	c := one.exec(b, hostWorld(b), 15)
	met := p.Execs.Texts.Read(one.texts())
	b.ReportAllocs()
	for b.Loop() {
		if p.Execs.Possible(c, met) {
			b.Fatal("possible")
		}
	}
}
