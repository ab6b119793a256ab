// Command berthd is the Kubernetes node runtime: it serves the CRI and runs
// pods. Without a subcommand it serves; see `berthd --help`.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/berth-run/berth/config"
)

// version is set by the linker (-X main.version=...) to what git describe says. A plain `go build` of
// a checkout leaves the commit, one of a module its version. init makes a semantic version of it.
var version = "unknown"

func init() {
	defer func() { version = semanticVersion(version) }()
	info, ok := debug.ReadBuildInfo()
	if version != "unknown" || !ok {
		return
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version = s.Value[:min(len(s.Value), 7)]
		}
	}
}

// The exit codes. A wrong command line and a wrong configuration share one: in
// both cases starting again does not help before a person has acted. It is the
// EX_CONFIG of sysexits(3) and not the usual 2, with which Go ends after a panic and
// after the SIGABRT of systemd's watchdog: then starting again does help.
const (
	exitFailure = 1
	exitUsage   = 78
	// exitUnable is of commands that look for something, where they could not look.
	exitUnable = 3
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit code.
func execute(args []string) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	var logged loggedError
	if !errors.As(err, &logged) {
		complain(os.Stderr, inJournal(), message(err))
	}
	if isUsage(err) {
		return exitUsage
	}
	var unable unableError
	if errors.As(err, &unable) {
		return exitUnable
	}
	return exitFailure
}

// message is what the user reads. Problems of the configuration have a line
// each, which begins with its place so that editors can jump to it.
func message(err error) string {
	var problems config.Problems
	if errors.As(err, &problems) {
		return fmt.Sprintf("berthd: the configuration is not valid:\n%s", problems)
	}
	return "berthd: " + err.Error()
}

func isUsage(err error) bool {
	var usage usageError
	var problems config.Problems
	return errors.As(err, &usage) || errors.As(err, &problems)
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (u usageError) Unwrap() error { return u.error }
