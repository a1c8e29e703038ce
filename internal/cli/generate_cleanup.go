package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

func newGenerateCleanup(env Env, f *generateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Undo what killed runs left behind",
		Long: `Cleanup reads the undo journals of killed runs, ends their processes, and
removes their files and cgroups. It identifies them by path, inode and content.
It keeps and lists files that others have changed or have put into a directory
of the run. It does not touch active runs.

With --kubeconfig, --context or --namespace it also deletes the objects that
k8saudit actions of any run created in that namespace, by their label.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if kubeapi.Given(cmd.Flags()) {
				if err := f.cleanCluster(env); err != nil {
					return err
				}
			}
			undone, err := sandbox.Cleanup(f.stateDir)
			env.printUndone(undone, err, "nothing to clean up")
			return err
		},
	}
	f.state(cmd.Flags())
	f.clusterFlags(cmd.Flags())
	groupGenerate(cmd.Flags())
	return cmd
}

func (g *generateFlags) cleanCluster(env Env) error {
	c, err := g.connect()
	if err == nil {
		err = c.Cleanup()
	}
	if err == nil {
		fmt.Fprintln(env.Stdout, "deleted what k8saudit actions left in the namespace")
	}
	return err
}
