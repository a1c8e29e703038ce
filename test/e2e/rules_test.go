package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/rules"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// defaultRules are the files of the default rules, in the order in which the
// sensor loads those inside the binary: an event alerts for the first rule
// that matches.
func defaultRules() (args []string) {
	for _, name := range rules.Names {
		args = append(args, "-r", filepath.Join("../../rules", name))
	}
	return args
}

// The default rules have the names of Falco's stable and incubating rules.
func TestDefaultRulesCoverUpstream(t *testing.T) {
	maturity := map[string]string{}
	var upstream []string
	for _, r := range corpus.FalcoRules(t) {
		upstream = append(upstream, r.Name)
		maturity[r.Name] = "maturity_" + r.Maturity()
	}
	var ours []string
	for _, r := range describeRules(t, defaultRules()...) {
		if m := tagWith(r, "maturity_"); m == "maturity_stable" || m == "maturity_incubating" {
			ours = append(ours, r.Name)
		}
		if want, known := maturity[r.Name]; known && want != tagWith(r, "maturity_") {
			t.Errorf("%s: %s, upstream %s", r.Name, tagWith(r, "maturity_"), want)
		}
	}
	slices.Sort(upstream)
	slices.Sort(ours)
	if diff := cmp.Diff(upstream, ours); diff != "" {
		t.Errorf("rules (-upstream +ours):\n%s", diff)
	}
}

// Every default rule has a description and a priority, and tags for maturity,
// tactic and technique.
func TestDefaultRulesAreDescribed(t *testing.T) {
	described := describeRules(t, defaultRules()...)
	for _, r := range described {
		if len(r.Description) < 20 || !strings.HasSuffix(strings.TrimSpace(r.Description), ".") {
			t.Errorf("%s: description %q", r.Name, r.Description)
		}
		if tagWith(r, "maturity_") == "" || tagWith(r, "mitre_") == "" {
			t.Errorf("%s: tags %q want maturity and tactic", r.Name, r.Tags)
		}
		if !slices.ContainsFunc(r.Tags, func(tag string) bool {
			return len(tag) > 4 && tag[0] == 'T' && strings.ContainsAny(tag[1:3], "0123456789A")
		}) {
			t.Errorf("%s: tags %q want a technique, as T1059", r.Name, r.Tags)
		}
	}
	if len(described) < 70 {
		t.Errorf("only %d rules", len(described))
	}
	// The embedded rules are those of the files.
	if diff := cmp.Diff(describeRules(t), described); diff != "" {
		t.Errorf("rules (-embedded +files):\n%s", diff)
	}
}

func tagWith(r ruleInfo, prefix string) string {
	if i := slices.IndexFunc(r.Tags, func(tag string) bool { return strings.HasPrefix(tag, prefix) }); i >= 0 {
		return r.Tags[i]
	}
	return ""
}

// The default rules are right, and no warning comes but for the macro that
// people's own rules use.
func TestDefaultRulesCheck(t *testing.T) {
	code, out, stderr := peregrine(t, "rules", "check", "../../rules")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, stderr)
	}
	if n := strings.Count(out, "LOAD_"); n != 1 || !strings.Contains(out, "'always_true'") {
		t.Errorf("%d warnings\n%s", n, out)
	}
	args := []string{"sensor"}
	for _, name := range rules.Names {
		args = append(args, "-V", filepath.Join("../../rules", name))
	}
	if code, out, stderr := peregrine(t, args...); code != 0 {
		t.Errorf("-V: exit code %d\n%s%s", code, out, stderr)
	}
}

// Routine work of a Debian host and its administrators fires none of the rules
// enabled by default. The rules see these commands only: other work on this
// machine is unknown.
func TestDefaultRulesAreQuiet(t *testing.T) {
	requireBPF(t)
	dir := t.TempDir()
	shell, scope := scopedShell(t, dir, listRules(t, defaultRules()...))
	s := startSensor(t, append(defaultRules(), "-r", scope)...)
	for _, command := range []string{
		"ls -la /etc /root /var/log /dev", "ps aux", "df -h", "free -m", "uptime", "id", "who", "last -n 3",
		"find /etc -maxdepth 2 -name '*.conf'", "grep -r PATH /etc/profile /etc/bash.bashrc", "bash -lc 'true'", "su root -c true",
		"dpkg -l", "apt-cache policy bash", "apt-get check", "run-parts --test /etc/cron.daily", "run-parts --report /etc/cron.hourly",
		"logrotate -d /etc/logrotate.conf", "tar cf - /etc/default", "gzip -c /etc/services", "find /usr/share/doc -maxdepth 1 -mtime -1",
		"cat /proc/meminfo /proc/loadavg", "ip addr", "ss -tln", "hostname -f", "getent passwd root", "getent hosts localhost",
		"python3 -c 'import json, socket'", "perl -e 1", "vi --version", "crontab -l", "ssh -V", "curl --version", "git --version",
		"touch " + dir + "/file", "cp /etc/services " + dir, "mv " + dir + "/file " + dir + "/moved", "rm " + dir + "/moved", "mount", "lsblk",
		"sysctl -a", "dmesg", "date", "sync", "true",
	} {
		// Programs that are missing, or fail, raise no alert either.
		cmd := exec.Command(shell, "-c", command)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		_ = cmd.Run()
	}
	// The last alert is one that has to come: those before it are here then.
	cat := func() { _ = exec.Command(shell, "-c", "cat /etc/shadow").Run() }
	s.provoke("for cat /etc/shadow", cat, func(a alert) bool { return a.Fields["proc.cmdline"] == "cat /etc/shadow" })
	s.eachAlert(0, func(a alert) {
		if a.Fields["proc.cmdline"] != "cat /etc/shadow" && !strings.HasPrefix(a.Rule, "Falco internal") {
			t.Errorf("%s", a.Output)
		}
	})
}

// scopedShell is scoped with a shell in the generator's place.
func scopedShell(t *testing.T, dir string, rules []string) (shell, file string) {
	t.Helper()
	generator, file := scoped(t, dir, rules)
	shell = filepath.Join(dir, filepath.Base(generator))
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sh, shell); err != nil {
		t.Fatal(fmt.Errorf("shell under a name of its own: %w", err))
	}
	return shell, file
}
