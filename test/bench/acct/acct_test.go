package acct

import (
	"os"
	"testing"
)

func TestBusyTicks(t *testing.T) {
	got, err := busyTicks("cpu  10 2 30 1000 50 4 5 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if err != nil || got != 51 {
		t.Errorf("%d, %v; want 51", got, err)
	}
	if _, err := busyTicks("intr 5"); err == nil {
		t.Error("accepts something else")
	}
}

func TestKilobytes(t *testing.T) {
	text := []byte("55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:    884 kB\nPss:    385 kB\nPss_Dirty: 68 kB\n")
	if got := kilobytes(text, "Pss:"); got != 385<<10 {
		t.Errorf("PSS %d", got)
	}
}

func TestUseOfSelf(t *testing.T) {
	use := UseOf([]int{os.Getpid(), -1})
	if use.Processes != 1 || use.PSS <= 0 || use.RSS < use.PSS || use.FDs < 3 {
		t.Errorf("%+v", use)
	}
}
