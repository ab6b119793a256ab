package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/berth-run/berth/config/companions"
)

func newVersionCommand(o *options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of berthd and of everything it works with",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output must be text or json, is %q", output)}
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			finder, err := companions.New()
			if err != nil {
				return err
			}
			versions := append(companions.Own(version), finder.Versions(context.Background(), c.CNI.BinDirs)...)
			return printVersions(cmd.OutOrStdout(), output, versions)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	return cmd
}

func printVersions(w io.Writer, output string, versions []companions.Version) error {
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(versions)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range versions {
		text := v.Version
		if v.Missing != "" {
			text = "missing: " + v.Missing
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, text, v.Path)
	}
	return t.Flush()
}
