//go:build race

package service_test

// raceFlags make berth-shim look for data races when the tests do.
var raceFlags = []string{"CGO_ENABLED=1", "-race"}
