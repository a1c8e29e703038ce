package cli

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// The flags of Falco before 0.37 that name the API server stand for keys.
func TestAPIServerFlags(t *testing.T) {
	none := config.Kubernetes{Enabled: true}
	all := config.Kubernetes{Enabled: true, APIServer: "https://10.96.0.1", Credentials: "/token", Node: "node1"}
	for name, tt := range map[string]struct {
		args []string
		want config.Kubernetes
	}{
		"none":  {nil, none},
		"short": {[]string{"-k", "https://10.96.0.1", "-K", "/token", "--k8s-node", "node1"}, all},
		"long":  {[]string{"--k8s-api", "https://10.96.0.1", "--k8s-api-cert", "/token", "--k8s-node=node1"}, all},
	} {
		var f daemonFlags
		cmd := &cobra.Command{}
		f.register(cmd)
		if err := cmd.ParseFlags(tt.args); err != nil {
			t.Fatal(err)
		}
		f.config = "/dev/null"
		cfg, err := f.loadConfig(Env{Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Peregrine.Kubernetes != tt.want || len(accepted(cmd.Flags())) > 0 {
			t.Errorf("%s: %+v, notes %q", name, cfg.Peregrine.Kubernetes, accepted(cmd.Flags()))
		}
	}
}
