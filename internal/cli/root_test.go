package cli

import "testing"

// A sensor holds no flags of other commands, whatever they are, and says the
// same about its own.
func TestSensorAlone(t *testing.T) {
	root := newRoot(Env{Args: []string{"sensor", "-U"}})
	for _, cmd := range root.Commands() {
		if name := cmd.Name(); name != "sensor" && name != "help" && name != "completion" {
			t.Errorf("a sensor has the command %s", name)
		}
	}
	alone, _, err1 := root.Find([]string{"sensor"})
	among, _, err2 := newRoot(Env{}).Find([]string{"sensor"})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if got, want := alone.UsageString(), among.UsageString(); got != want || got == "" {
		t.Errorf("alone:\n%s\namong others:\n%s", got, want)
	}
}
