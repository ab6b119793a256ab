package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berth-run/berth/config/suggest"
)

const longHelp = `berthd is a Kubernetes node runtime. It serves the Container Runtime Interface
(CRI v1) to the kubelet and crictl, runs pods with containerd and runc, gives
them a network with CNI plugins and exports Prometheus metrics.

Without a subcommand it serves until SIGTERM or SIGINT; pods go on running, and
the next berthd finds them. A second signal ends it at once. SIGHUP reads the
configuration again and applies log.level; changes of other keys are reported
and wait for a restart.

The configuration is /etc/berth/config.toml with its drop-ins
/etc/berth/config.toml.d/*.toml; neither has to exist. Flags win over files.`

const examples = `  berthd                                  serve with the defaults
  berthd --root /data/a --state /run/a    a second instance, beside the first one
  berthd config default > config.toml     a file to start from, with all keys explained
  berthd config check                     is what I wrote valid?
  crictl --runtime-endpoint unix:///run/berth/berth.sock pods`

const exitHelp = `
Exit codes: 0 ended as asked, 1 failed, 78 wrong command line or configuration.
`

// newCommand builds the command line. Everything it needs is in the options, so
// tests can have as many as they like.
func newCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:               "berthd",
		Short:             "Kubernetes node runtime",
		Long:              longHelp,
		Example:           examples,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE:              func(*cobra.Command, []string) error { return serve(o) },
	}
	o.addTo(root.PersistentFlags())
	root.Flags().SortFlags, root.PersistentFlags().SortFlags = false, false
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(root.UsageTemplate() + exitHelp)
	root.AddCommand(newServeCommand(o), newConfigCommand(o), newVersionCommand(o), newDoctorCommand(o), newCNICommand(o), newFailpointsCommand(), newCheckCommand())
	for _, c := range root.Commands() {
		c.InheritedFlags().SortFlags = false
		refuseArguments(c)
	}
	root.Args = rootArguments
	return root
}

func newServeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve the CRI (what berthd does without a subcommand)",
		RunE:  func(*cobra.Command, []string) error { return serve(o) },
	}
}

// rootArguments explains an argument of berthd itself, which can only be a
// misspelt subcommand.
func rootArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownSubcommand(cmd, args[0])
}

func unknownSubcommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "there are " + strings.Join(names, ", ")
	if near := suggest.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return usageError{fmt.Errorf("unknown command %q; %s (see %s --help)", name, hint, cmd.CommandPath())}
}

// refuseArguments makes c and the commands below it refuse arguments in the same
// words, unless they say themselves which they take.
func refuseArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseArguments(sub)
	}
	if c.Args != nil {
		return
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return nil
		case cmd.HasSubCommands():
			return unknownSubcommand(cmd, args[0])
		}
		return usageError{fmt.Errorf("%s takes no argument, but got %q (see %s --help)",
			cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
}

// flagError adds what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if near := suggest.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
}
