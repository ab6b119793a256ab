package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/spf13/cobra"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/sandbox"
)

const cniHelp = `When a CNI plugin fails to take back what it gave a pod (DEL), the pod goes all the same, and the DEL is retried
until it succeeds or cni.del_give_up is over. The commands talk to the daemon that runs; an instance that was moved
wants the same --config and --state.`

const (
	// owedTimeout bounds the wait for the list of owed DELs, which comes from memory and small files.
	owedTimeout = time.Minute
	// giveUpTimeout bounds the wait for a last attempt, which runs plugins, each for up to cni.del_timeout. The daemon
	// finishes the attempt also when the command has ended.
	giveUpTimeout = 10 * time.Minute
)

func newCNICommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cni",
		Short: "List or give up CNI DELs that are owed",
		Long:  cniHelp,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	owed := &cobra.Command{
		Use:   "owed",
		Short: "List pods whose CNI DEL failed and is retried",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), owedTimeout)
			defer cancel()
			var list []sandbox.OwedDetach
			if err := askDaemon(ctx, o, http.MethodGet, "/cni/owed", &list); err != nil {
				return err
			}
			return printOwed(cmd.OutOrStdout(), list)
		},
	}
	giveUp := &cobra.Command{
		Use:   "give-up POD",
		Short: "Try a pod's CNI DEL a last time, by the pod's ID; what plugins that fail hold stays",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes the ID of one pod; berthd cni owed lists them", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), giveUpTimeout)
			defer cancel()
			var debt cni.Debt
			if err := askDaemon(ctx, o, http.MethodPost, "/cni/give-up?pod="+url.QueryEscape(args[0]), &debt); err != nil {
				return err
			}
			return printGivenUp(cmd.OutOrStdout(), debt)
		},
	}
	cmd.AddCommand(owed, giveUp)
	return cmd
}

func printGivenUp(w io.Writer, left cni.Debt) error {
	if len(left.Plugins) == 0 {
		_, err := fmt.Fprintln(w, "the last attempt succeeded; nothing stays")
		return err
	}
	_, err := fmt.Fprintf(w, "given up; what these plugins hold for the pod outside of its network namespace stays: %s\n", strings.Join(left.Plugins, ", "))
	return err
}

func printOwed(w io.Writer, list []sandbox.OwedDetach) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no CNI DEL is owed")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "POD\tNAME\tSINCE\tATTEMPTS\tPLUGINS\tLAST ERROR")
	for _, d := range list {
		fmt.Fprintf(table, "%s\t%s/%s\t%s\t%d\t%s\t%s\n", d.PodID, d.Namespace, d.Name, d.Since.Format(time.RFC3339), d.Attempts,
			strings.Join(d.Plugins, ","), d.LastError)
	}
	return table.Flush()
}

// askDaemon sends a request to the debug socket of the daemon that runs, and decodes its answer.
func askDaemon(ctx context.Context, o *options, method, target string, into any) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://berthd"+target, nil)
	if err != nil {
		return err
	}
	resp, err := daemonClient(c).Do(req)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no berthd runs with the state directory %s; one that was moved wants the flags or the --config that it was started with", c.State)
	}
	if err != nil {
		return fmt.Errorf("ask berthd at %s: %w", c.Paths().DebugSocket(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("ask berthd at %s: %w", c.Paths().DebugSocket(), err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return json.Unmarshal(body, into)
}

func daemonClient(c *config.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Paths().DebugSocket())
		},
	}}
}

// cniHandler answers the commands of `berthd cni`, on the debug socket.
func cniHandler(pods *sandbox.Manager) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, value any, err error) {
		if err != nil {
			http.Error(w, err.Error(), errhttp.ToHTTP(errdefs.Resolve(err)))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value)
	}
	mux.HandleFunc("GET /cni/owed", func(w http.ResponseWriter, _ *http.Request) { answer(w, pods.OwedDetaches(), nil) })
	mux.HandleFunc("POST /cni/give-up", func(w http.ResponseWriter, r *http.Request) {
		debt, err := pods.GiveUpDetach(r.Context(), r.URL.Query().Get("pod"))
		answer(w, debt, err)
	})
	return mux
}
