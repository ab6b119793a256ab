//go:build !race

package service_test

// raceFlags are the environment and the flag that berth-shim is built with.
var raceFlags = []string{"CGO_ENABLED=0", "-race=false"}
