// Package daemon starts a real berthd for tests, with everything it writes below
// one temporary directory, and offers short ways to use it.
//
// A daemon's containerd is embedded, or with Options.External a real containerd of
// its own. Images come from a registry that all daemons of a test binary share; it
// has everything of test/images under its upstream names.
//
//	d := daemon.Start(t, daemon.Options{})
//	pod := d.RunPod(t)
//	c := pod.Run(t, "sh", "-c", "exit 3")
//	status := c.WaitExited(t) // ExitCode 3
//
// Start ends the daemon with the test, removes what it made, and fails the test
// when anything is left on the host. Tests that share a daemon use Launch and Close.
package daemon
