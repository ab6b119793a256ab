// Command berth-shim is the process that stays with each pod: containerd's runc shim, and what must
// survive the daemon (see package shim). berthd starts it directly for a pod. containerd calls it
// with `delete` to clean up after a dead one, and may `start` it like any shim of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/berth-run/berth/shim"
	"github.com/berth-run/berth/shim/service"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	cshim "github.com/containerd/containerd/v2/pkg/shim"
)

// version is set by the linker.
var version = "unknown"

func main() {
	if os.Getenv(shim.EnvControlFD) == "" {
		service.RegisterPlugin()
		cshim.RunShim(context.Background(), informed{manager.NewShimManager("berth-shim")})
		return
	}
	// Not for the containers, nor for a shim that one of them starts.
	os.Unsetenv(shim.EnvControlFD)
	if err := servePod(); err != nil {
		fmt.Fprintf(os.Stderr, "berth-shim: %v\n", err)
		os.Exit(1)
	}
}

// servePod runs with the command line that shim.Launch makes.
func servePod() error {
	o := service.Options{TTRPCAddress: os.Getenv("TTRPC_ADDRESS"), Build: version}
	fs := flag.NewFlagSet("berth-shim", flag.ContinueOnError)
	fs.StringVar(&o.Namespace, "namespace", "", "containerd's namespace")
	fs.StringVar(&o.PodID, "id", "", "the pod's ID")
	fs.BoolVar(&o.Debug, "debug", false, "log more")
	fs.String("address", "", "containerd's socket, for the looks of the process list")
	if err := fs.Parse(os.Args[1:]); err != nil {
		return err
	}
	if o.Namespace == "" || o.PodID == "" {
		return fmt.Errorf("-namespace and -id are needed")
	}
	return service.Serve(context.Background(), o)
}
