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
			Short: "Check files and flags; list all problems with file, line and key",
			RunE: func(cmd *cobra.Command, _ []string) error {
				if _, err := o.load(); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "The configuration is valid.")
				return err
			},
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
