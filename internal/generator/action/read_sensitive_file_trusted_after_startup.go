package action

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/child"
)

var readSensitiveFileTrustedAfterStartup = Action{
	Name:    "syscall.ReadSensitiveFileTrustedAfterStartup",
	Summary: "a process called httpd opens /etc/shadow 5 s after its start",
	Rule:    "Read sensitive file trusted after startup", RuleSet: Stable,
	Tags:   []string{"filesystem", "mitre_credential_access", "T1555"},
	Spawns: []string{"httpd"},
	Needs:  Needs{Place: Anywhere, Root: true},
	Cost:   Slow, Bench: BenchNo, BenchWhy: "the first one takes 5.5 s", Default: true,
	prepare: prepareTrustedServer,
}

// startup is how long the rule trusts a server, and a bit.
const startup = 5500 * time.Millisecond

func prepareTrustedServer(p *prep) (func() error, error) {
	hisIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, hisOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, hisIn.Close(), in.Close())
	}
	p.undo(in.Close)
	p.undo(out.Close)
	_, err = p.companion(program{name: "httpd", task: child.OpenOnDemand("/etc/shadow")}, hisIn, hisOut)
	if err := errors.Join(err, hisIn.Close(), hisOut.Close()); err != nil {
		return nil, err
	}
	trusted := time.Now().Add(startup)
	var b [1]byte
	return func() error {
		time.Sleep(time.Until(trusted))
		if _, err := in.Write(b[:]); err != nil {
			return err
		}
		if _, err := out.Read(b[:]); err != nil {
			return err
		}
		return check(syscall.Errno(b[0]))
	}, nil
}
