package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/peregrine-sec/peregrine/internal/version"
)

// newMan is "peregrine man", for packagers: hidden, as users have the pages.
func newMan(env Env) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the manual pages into a directory",
		Long:   "Man writes a page in section 8 for every command. SOURCE_DATE_EPOCH dates it.",
		Hidden: true,
		Args:   exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			header := doc.GenManHeader{Title: "PEREGRINE", Section: "8", Source: "Peregrine " + version.Version(), Date: buildDate(env)}
			return doc.GenManTree(root, &header, args[0])
		},
	}
}

// buildDate is SOURCE_DATE_EPOCH, if set, so that builds can be repeated.
func buildDate(env Env) *time.Time {
	now := time.Now()
	var seconds int64
	if _, err := fmt.Sscan(env.Getenv("SOURCE_DATE_EPOCH"), &seconds); err == nil {
		now = time.Unix(seconds, 0)
	}
	now = now.UTC()
	return &now
}
