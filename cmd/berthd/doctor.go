package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/doctor"
	"github.com/berth-run/berth/internal/underway"
)

const doctorHelp = `Compares what Berth has on record with what is on the host: directories, sockets, mounts,
network interfaces and addresses, control groups, shims, snapshots and leases. What has no
record is listed, and removed with --fix. It can be run beside a daemon that is at work.
An instance that was moved wants the same --config, --root and --state as its daemon.

Only what carries Berth's mark, or lies in Berth's own directories and containerd namespace, is removed. Things of
other clients beside them (nerdctl, ctr, BuildKit) are listed with the reason why they are left alone. The list is
printed before anything is removed.

A daemon that runs is asked which of its operations hang, since when, and what they wait for.

Exit codes: 0 nothing found, or all of it removed; 1 something found, or not removed; 78 wrong flags or
configuration; 3 doctor could not run, so that nothing is known.`

// doctorTimeout bounds an examination, or a removal.
const doctorTimeout = 2 * time.Minute

func newDoctorCommand(o *options) *cobra.Command {
	var fix bool
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "List, and remove, what is on the host without a record",
		Long:  doctorHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output must be text or json, is %q", output)}
			}
			c, err := o.load()
			if err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return unable(errors.New("has to run as root: it looks at mounts, namespaces and processes"))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), doctorTimeout)
			defer cancel()
			return unable(examine(ctx, c, cmd.OutOrStdout(), output == "json", fix))
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "remove what was found")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORMAT`: text or json")
	return cmd
}

// foundError says that something was found, or could not be removed.
type foundError struct{ error }

func (e foundError) Unwrap() error { return e.error }

// unableError says that doctor could not run to its end.
type unableError struct{ error }

func (e unableError) Unwrap() error { return e.error }

// unable is err as an unableError, unless it says that doctor ran.
func unable(err error) error {
	var found foundError
	if err == nil || errors.As(err, &found) || isUsage(err) {
		return err
	}
	return unableError{err}
}

// examine does the work of the command.
func examine(ctx context.Context, c *config.Config, w io.Writer, asJSON, fix bool) error {
	// Looking must not make what is looked for.
	if _, err := os.Stat(c.Root); err != nil {
		return fmt.Errorf("there is no instance of berthd here: %w; one that was moved wants the flags or the --config that it was started with", err)
	}
	d, running, err := newDoctor(c)
	if err != nil {
		return err
	}
	if d.Client != nil {
		defer d.Client.Close()
	}
	found, err := d.Examine(ctx)
	if err != nil {
		return err
	}
	removable := doctor.Removable(found)
	if err := printFindings(w, found, running, asJSON); err != nil {
		return err
	}
	if len(removable) == 0 {
		return hangError(found)
	}
	if !fix {
		return foundError{fmt.Errorf("%d things do not belong on this host; berthd doctor --fix removes them", len(removable))}
	}
	var errs []error
	for _, f := range removable {
		errs = append(errs, d.Fix(ctx, f))
	}
	if err := errors.Join(errs...); err != nil {
		return foundError{err}
	}
	return hangError(found)
}

// hangError says that something hangs, nil when nothing does.
func hangError(found []doctor.Finding) error {
	if n := len(doctor.Hanging(found)); n > 0 {
		return foundError{fmt.Errorf("%d operations of berthd hang, see \"A pod hangs\" in docs/operating.md", n)}
	}
	return nil
}

func printFindings(w io.Writer, found []doctor.Finding, running, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(append([]doctor.Finding{}, found...))
	}
	if len(doctor.Removable(found)) == 0 {
		fmt.Fprintln(w, "nothing found: everything of Berth's on this host has a record")
	}
	for _, f := range doctor.Removable(found) {
		fmt.Fprintf(w, "%-22s %s\n", f.Kind, f.Name)
	}
	for _, f := range doctor.Hanging(found) {
		fmt.Fprintf(w, "hangs: %s\n", f.Name)
	}
	for _, f := range found {
		if f.LeftAlone != "" {
			fmt.Fprintf(w, "left alone: %s: %s\n", f, f.LeftAlone)
		}
	}
	if !running {
		fmt.Fprintln(w, "(berthd does not run: snapshots and leases were not looked at, and the next start finishes what was cut short)")
	}
	return nil
}

// newDoctor finds the records: with the daemon, with an external containerd, or in the
// database of an embedded one that does not run.
func newDoctor(c *config.Config) (_ *doctor.Doctor, running bool, err error) {
	d := &doctor.Doctor{Paths: c.Paths(), Alone: alone(c)}
	if c.CNI.DefaultNetwork.Enabled {
		d.Bridge = c.CNI.DefaultNetwork.Bridge
	}
	driver := string(c.Cgroup.Driver)
	if c.Cgroup.Driver == config.CgroupAuto {
		driver = ""
	}
	if d.Cgroups, err = cgroup.Detect(driver); err != nil {
		return nil, false, err
	}
	options, err := cniOptions(c)
	if err != nil {
		return nil, false, err
	}
	network, err := cni.New(options)
	if err != nil {
		return nil, false, err
	}
	d.Detach = func(ctx context.Context, podID string) error {
		return network.Detach(ctx, cni.Attachment{PodID: podID})
	}
	if running = daemonPID(c.Paths()) != 0; running {
		d.Hanging = func(ctx context.Context) ([]underway.Operation, error) { return askHanging(ctx, c.Address) }
	}
	address := c.Containerd.Address
	if address == "" && !running {
		root := c.Paths().ContainerdRoot()
		d.Records = func(ctx context.Context) (map[string]bool, error) { return engine.RecordedIDs(ctx, root) }
		return d, running, nil
	}
	if address == "" {
		address = c.Paths().ContainerdSocket()
	}
	if _, err := os.Stat(strings.TrimPrefix(address, "unix://")); err != nil {
		return nil, running, fmt.Errorf("there is no containerd to ask: %w", err)
	}
	d.Client, err = containerd.New(strings.TrimPrefix(address, "unix://"), containerd.WithDefaultNamespace(engine.Namespace))
	if err != nil {
		return nil, running, fmt.Errorf("connect to containerd at %s: %w", address, err)
	}
	d.Records = doctor.Records(d.Client)
	return d, running || c.Containerd.Address != "", nil
}

// daemonPID is the daemon that holds the state directory, 0 when none does.
func daemonPID(p config.Paths) int {
	f, err := os.OpenFile(p.LockFile(), os.O_RDONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0
	}
	raw, _ := os.ReadFile(p.PIDFile())
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return -1 // it holds the lock, whoever it is
	}
	return pid
}

// alone reports whether no other instance of Berth has pods on this host: neither a daemon nor a
// shim that stands in another state directory.
func alone(c *config.Config) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	own := daemonPID(c.Paths())
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == own || pid == os.Getpid() {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		switch strings.TrimSpace(string(comm)) {
		case "berthd":
			return false
		case "berth-shim":
			cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
			if err == nil && !strings.HasPrefix(cwd, c.State+"/") { // a zombie has none
				return false
			}
		}
	}
	return true
}
