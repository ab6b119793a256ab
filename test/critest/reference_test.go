package critest_test

import (
	"os"
	"testing"

	"github.com/berth-run/berth/test/critest"
	"github.com/berth-run/berth/test/critest/reference"
)

// TestReference runs the suite on containerd's own CRI plugin: what fails here is the
// fault of the images, the registry or the machine. (Over WebSocket that plugin knows
// an older protocol than the suite speaks.)
func TestReference(t *testing.T) {
	if os.Getenv("BERTH_REFERENCE") == "" {
		t.Skip("checks the harness, not Berth; set BERTH_REFERENCE=1 to run it")
	}
	containerd, err := reference.Start(t.Context(), critest.Binary(t, ""), critest.Setup(t))
	if err != nil {
		t.Fatal(err)
	}
	defer containerd.Stop()
	runSuite(t, critest.Options{Binary: critest.Binary(t, "critest"), Socket: containerd.Socket})
}
