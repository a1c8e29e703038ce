package main

import (
	"bufio"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestResult(t *testing.T) {
	const console = "[    0.1] Linux\r\n\r\nperegrine-kernels: kernel 6.1.0\r\n" +
		"peregrine-kernels: job probe\r\n=== RUN   TestA\r\n    x_test.go:1: object=legacy\r\n--- PASS: TestA (0.00s)\r\n    --- PASS: TestA/b (0.00s)\r\n" +
		"--- SKIP: TestB (0.00s)\r\n[    1.0] a message peregrine-kernels: exit 0\r\n"
	const more = "peregrine-kernels: job sensor\r\n--- FAIL: TestC (0.00s)\r\nperegrine-kernels: exit 1\r\nperegrine-kernels: done all\r\n"
	want := []job{{name: "probe", tests: "."}, {name: "sensor", tests: "."}}
	for _, tc := range []struct{ name, console, err string }{
		{"good", console + strings.NewReplacer("FAIL", "PASS", "exit 1", "exit 0").Replace(more), ""},
		{"failed test", console + more, `sensor (exit "1")`},
		{"ended early", console, "ended early"},
		{"no test ran", strings.ReplaceAll(console, "--- PASS: TestA (", "") + more, `probe (exit "0")`},
		{"oops", console + "[    2.0] BUG: kernel NULL pointer dereference\r\n" + more, "the kernel complained: [    2.0] BUG: kernel NULL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r result
			if err := r.read(bufio.NewReader(strings.NewReader(tc.console))); err != nil {
				t.Fatal(err)
			}
			if r.kernel != "6.1.0" || r.object != "legacy" {
				t.Errorf("kernel %q, object %q", r.kernel, r.object)
			}
			switch err := r.check(want); {
			case tc.err == "" && err != nil:
				t.Error(err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
}

// Headers are 110 bytes; names with their NUL and contents end at multiples of 4.
func TestCPIO(t *testing.T) {
	var b bytes.Buffer
	w := newCPIO(&b)
	w.file("a/bc", 0o644, []byte("hello"))
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	zero := strings.Repeat("0", 8)
	header := func(ino, mode, size, name string) string {
		return "070701" + ino + mode + zero + zero + "00000001" + zero + size + strings.Repeat(zero, 4) + name + zero
	}
	want := header("00000001", "000041ed", zero, "00000002") + "a\x00" +
		header("00000002", "000081a4", "00000005", "00000005") + "a/bc\x00\x00" + "hello\x00\x00\x00" +
		header("00000003", zero, zero, "0000000b") + "TRAILER!!!\x00\x00\x00\x00"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestSelectJobs(t *testing.T) {
	got, err := selectJobs("sensor,probe=TestOpen")
	if err != nil || len(got) != 2 || got[0].name != "sensor" || got[1].tests != "TestOpen" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := selectJobs("nothing"); err == nil {
		t.Error("no error for an unknown job")
	}
	if all, err := selectJobs(""); err != nil || len(all) < 5 || slices.ContainsFunc(all, func(j job) bool { return j.alone }) {
		t.Errorf("%v, %v", all, err)
	}
	if one, err := selectJobs("prices"); err != nil || len(one) != 1 || !one[0].alone {
		t.Errorf("%v, %v", one, err)
	}
	if _, err := selectJobs("sensor,prices"); err == nil {
		t.Error("no error for a job beside one that runs alone")
	}
}

func TestMachines(t *testing.T) {
	all, err := selectJobs("integrity,sensor,probe,confidentiality")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range machines(all) {
		var names []string
		for _, j := range m {
			names = append(names, j.name)
		}
		got = append(got, m[0].kernel+": "+strings.Join(names, " "))
	}
	want := []string{"lockdown=integrity: integrity", ": sensor probe", "lockdown=confidentiality: confidentiality"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A command has no tests, of which some would have to pass; its output is shown.
func TestCommand(t *testing.T) {
	const console = "peregrine-kernels: kernel 6.1.0\r\nperegrine-kernels: job prices\r\n| getpid | 1 ns |\r\nperegrine-kernels: exit 0\r\nperegrine-kernels: done all\r\n"
	jobs := []job{{name: "prices", pkg: "./test/speed", flags: "-prices"}}
	if got := jobs[0].line(0); got != "prices /tests/speed.test -prices\n" {
		t.Errorf("line %q", got)
	}
	var r result
	var out bytes.Buffer
	if err := errors.Join(r.read(bufio.NewReader(strings.NewReader(console))), r.check(jobs)); err != nil {
		t.Error(err)
	}
	if r.print(&out, jobs, 0); !strings.Contains(out.String(), "\n| getpid | 1 ns |\n") {
		t.Errorf("output %q", out.String())
	}
}

func TestDependency(t *testing.T) {
	const show = "Package: linux-image-cloud-amd64\nDepends: linux-image-5.10.0-46-cloud-amd64 (= 5.10.262-1), other\n\nDepends: linux-image-5.10.0-30-cloud-amd64\n"
	if got, err := dependency(show, "linux-image-"); err != nil || got != "linux-image-5.10.0-46-cloud-amd64" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := dependency(show, "linux-binary-"); err == nil {
		t.Error("no error without the dependency")
	}
}

func TestArchByName(t *testing.T) {
	for _, a := range arches {
		got, err := archByName(a.name)
		if err != nil || got.qemu != a.qemu {
			t.Errorf("%s: %s, %v", a.name, got.qemu, err)
		}
		names := map[string]bool{}
		for _, k := range a.kernels { // a kernel's name is its directory in the cache
			if names[k.name] || k.name == common.name || k.name == redis.name {
				t.Errorf("%s: a second directory %s", a.name, k.name)
			}
			names[k.name] = true
		}
	}
	if _, err := archByName("vax"); err == nil || !strings.Contains(err.Error(), "amd64, arm64") {
		t.Errorf("an unknown architecture: %v", err)
	}
}

func TestRequireHooks(t *testing.T) {
	for _, tc := range []struct{ arch, release, want string }{
		{"amd64", "5.10.0-46-amd64", "1"},
		{"arm64", "6.12.117+deb13-cloud-arm64", "1"},
		{"arm64", "6.4.0", "1"},
		{"arm64", "6.1.0-50-cloud-arm64", "0"},
		{"arm64", "7.0-rc1", "1"},
	} {
		if got := requireHooks(tc.arch, tc.release); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.arch, tc.release, got, tc.want)
		}
	}
}
