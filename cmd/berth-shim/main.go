// Command berth-shim is the process that stays with each pod: it runs the pod's containers with runc
// and keeps what must survive the daemon (see package shim). berthd starts it directly for a pod.
// containerd calls it with `delete` to clean up after a dead one, and may `start` it like any shim.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"syscall"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/service"
)

// version is set by the linker.
var version = "unknown"

// The environment of the shims that containerd starts.
const (
	envTTRPCAddress = "TTRPC_ADDRESS"
	// envOrdinary tells a process that `start` made that it is the shim.
	envOrdinary = "BERTH_SHIM_ORDINARY"
)

// command is the command line, which is the one of containerd's shims.
type command struct {
	namespace, id, bundle, address string
	debug, info, version           bool
	action                         string
}

func main() {
	// Not dumpable, as berthd: a child on its way into a pod's user namespace shares this memory.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "berth-shim: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	c, err := parse(os.Args[1:])
	switch {
	case err != nil:
		return err
	case c.version:
		fmt.Println("berth-shim", version)
		return nil
	case c.info:
		return c.printInfo(os.Stdin, os.Stdout)
	case c.namespace == "" || c.id == "":
		return fmt.Errorf("-namespace and -id are needed")
	}
	o := service.Options{
		Namespace: c.namespace, TTRPCAddress: os.Getenv(envTTRPCAddress), Build: version, Debug: c.debug,
	}
	switch {
	case os.Getenv(api.EnvControlFD) != "":
		os.Unsetenv(api.EnvControlFD) // not for the containers, nor for a shim that one of them starts
		o.PodID = c.id
		return service.Serve(context.Background(), o)
	case os.Getenv(envOrdinary) != "":
		path := os.Getenv(envOrdinary)
		os.Unsetenv(envOrdinary)
		defer os.Remove(path)
		return service.Serve(context.Background(), o)
	case c.action == "start":
		return c.start()
	case c.action == "delete":
		return c.delete()
	}
	return fmt.Errorf("unknown action %q: start and delete are known", c.action)
}

func parse(args []string) (c command, err error) {
	fs := flag.NewFlagSet("berth-shim", flag.ContinueOnError)
	fs.StringVar(&c.namespace, "namespace", "", "containerd's namespace")
	fs.StringVar(&c.id, "id", "", "the pod's, or the container's, ID")
	fs.StringVar(&c.bundle, "bundle", "", "the container's bundle")
	fs.StringVar(&c.address, "address", "", "containerd's socket")
	fs.BoolVar(&c.debug, "debug", false, "log more")
	fs.BoolVar(&c.info, "info", false, "describe the shim, encoded")
	fs.BoolVar(&c.version, "v", false, "print the version")
	fs.String("publish-binary", "", "not used: events go to $"+envTTRPCAddress)
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	c.action = fs.Arg(0)
	return c, nil
}
