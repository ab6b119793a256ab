package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/berth-run/berth/engine"
)

// checkName is the subcommand by which the daemon has a database checked: a damaged one
// may end the process that reads it.
const checkName = "check-database"

// checkCommand is how to run it; empty when this program cannot find itself.
func checkCommand() engine.CheckCommand {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	return engine.CheckCommand{exe, checkName, "--file"}
}

func newCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:    checkName,
		Short:  "Read a database of containerd",
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return engine.CheckDatabase(path) },
	}
	cmd.Flags().StringVar(&path, "file", "", "the database")
	return cmd
}
