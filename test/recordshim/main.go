// Command recordshim is a foreign shim for tests. It keeps the OCI specification of each container that
// it is started for, in the directory records beside it, as ID.json, and becomes the shim
// beside it that is called containerd-shim-runc-v2.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "recordshim: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	real := filepath.Join(filepath.Dir(self), "containerd-shim-runc-v2")
	flags := flag.NewFlagSet("recordshim", flag.ContinueOnError)
	id := flags.String("id", "", "")
	for _, name := range []string{"namespace", "address", "publish-binary", "bundle", "socket"} {
		flags.String(name, "", "")
	}
	for _, name := range []string{"debug", "v", "info"} {
		flags.Bool(name, false, "")
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if flags.Arg(0) == "start" {
		// containerd starts a shim in the bundle.
		spec, err := os.ReadFile("config.json")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(self), "records", *id+".json"), spec, 0o600); err != nil {
			return err
		}
	}
	return syscall.Exec(real, append([]string{real}, os.Args[1:]...), os.Environ())
}
