package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecProcess is the OCI process for an exec (ExecSync, Exec) in a container:
// the container's own process with other arguments, so that user, groups,
// capabilities, environment, limits and labels are those of the container.
func ExecProcess(s *specs.Spec, args []string, tty bool) *specs.Process {
	p := clone(s).Process
	p.Args = append([]string(nil), args...)
	p.CommandLine = ""
	p.Terminal = tty
	p.ConsoleSize = nil
	return p
}
