package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/berth-run/berth/config"
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
			versions, err := collectVersions(o)
			if err != nil {
				return err
			}
			return printVersions(cmd.OutOrStdout(), output, versions)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	return cmd
}

// collectVersions asks all programs. A configuration that is not valid does not
// stop it: versions are what one asks for when nothing works.
func collectVersions(o *options) ([]companions.Version, error) {
	ctx := context.Background()
	finder, err := companions.New()
	if err != nil {
		return nil, err
	}
	c, err := o.load()
	if err != nil {
		c = config.Default()
		c.Complete()
	}
	versions := companions.Own(version)
	if c.Containerd.Address != "" {
		versions = append(versions, companions.Containerd(ctx, c.Containerd.Address))
	}
	return append(versions, finder.Versions(ctx, c.CNI.BinDirs)...), nil
}

func printVersions(w io.Writer, output string, versions []companions.Version) error {
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(versions)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, v := range versions {
		switch {
		case v.Missing != "":
			fmt.Fprintf(t, "%s\tmissing\n", v.Name)
		case v.Path != "":
			fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, v.Version, v.Path)
		default:
			fmt.Fprintf(t, "%s\t%s\n", v.Name, v.Version)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, v := range versions {
		if v.Missing != "" {
			if _, err := fmt.Fprintf(w, "%s is missing: %s\n", v.Name, v.Missing); err != nil {
				return err
			}
		}
	}
	return nil
}
