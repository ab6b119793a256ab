package critest_test

import (
	"testing"

	"github.com/berth-run/berth/test/critest"
	"github.com/berth-run/berth/test/daemon"
)

// TestEmbedded runs the whole suite on berthd with containerd inside it.
func TestEmbedded(t *testing.T) { testBerthd(t, daemon.Options{LogLevel: "info"}) }

// TestExternal does so with containerd as a process of its own.
func TestExternal(t *testing.T) { testBerthd(t, daemon.Options{LogLevel: "info", External: true}) }

// testBerthd runs the suite with streams over SPDY, as its clients do by default, and
// the tests of streaming once more over WebSocket, as the kubelet's clients do.
func testBerthd(t *testing.T, opts daemon.Options) {
	d := daemon.Start(t, opts)
	suite := critest.Options{Binary: critest.Binary(t, "critest"), Socket: d.Socket}
	t.Run("SPDY", func(t *testing.T) { runSuite(t, suite) })
	suite.WebSocket, suite.Focus = true, `\[k8s.io\] Streaming`
	t.Run("WebSocket", func(t *testing.T) { runSuite(t, suite) })
}

func runSuite(t *testing.T, opts critest.Options) {
	result, err := critest.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	critest.Judge(t, result, critest.Expected())
}
