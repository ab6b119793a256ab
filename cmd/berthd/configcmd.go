package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-run/berth/config"
)

func newConfigCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print or check the configuration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "default",
			Short: "Print the defaults as a file that explains every key",
			RunE: func(cmd *cobra.Command, _ []string) error {
				text, err := config.MarshalDefault()
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			},
		},
		&cobra.Command{
			Use:   "check",
			Short: "Find what keeps berthd from starting with these files and flags, on this machine",
			RunE:  func(cmd *cobra.Command, _ []string) error { return checkConfig(cmd, o) },
		},
		&cobra.Command{
			Use:   "show",
			Short: "Print what is in effect, and where each value comes from",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := o.load()
				if err != nil {
					return err
				}
				text, err := c.Marshal()
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			},
		},
	)
	return cmd
}

// checkConfig does what a start does before it changes anything, and prints what a start would only
// warn of.
func checkConfig(cmd *cobra.Command, o *options) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	found, err := runPreflight(c)
	if err != nil {
		return err
	}
	for _, w := range found.warnings {
		cmd.PrintErrln("warning: " + w)
	}
	if err := found.err(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "The configuration is valid.")
	return err
}
