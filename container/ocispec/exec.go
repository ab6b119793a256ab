package ocispec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ExecProcess is the OCI process for an exec (ExecSync, Exec) in a container:
// the container's own process with other arguments, so that user, groups,
// capabilities, environment, limits and labels are those of the container. With a terminal it has a TERM.
func ExecProcess(s *specs.Spec, args []string, tty bool) *specs.Process {
	p := clone(s).Process
	if p == nil { // a record that others have written
		p = &specs.Process{Cwd: "/"}
	}
	p.Args = append([]string(nil), args...)
	p.CommandLine = ""
	p.Terminal = tty
	p.ConsoleSize = nil
	if tty {
		e := newEnvironment(len(p.Env) + 1)
		e.add(p.Env...)
		e.setDefault("TERM", terminal)
		p.Env = e.list
	}
	return p
}
