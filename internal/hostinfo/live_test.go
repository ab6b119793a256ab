package hostinfo

import (
	"os"
	"testing"
)

// TestDetectMachine runs on the machine itself and checks what must hold on any.
func TestDetectMachine(t *testing.T) {
	i, err := Detect(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if i.Kernel.Major < 4 || i.Cgroup.Mode == 0 || len(i.Capabilities) < 38 {
		t.Errorf("implausible: %+v", i)
	}
	if _, ok := i.Rlimits["RLIMIT_NOFILE"]; !ok {
		t.Errorf("no RLIMIT_NOFILE in %v", i.Rlimits)
	}
	for _, w := range i.Warnings() {
		t.Log(w)
	}
	t.Logf("%+v", *i)
}

// TestIDMapSupported needs root, because idmapped mounts do.
func TestIDMapSupported(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: idmapped mounts need CAP_SYS_ADMIN")
	}
	i, err := Detect(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ok, err := i.IDMapSupported(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("idmapped mounts on the temporary directory: %v", ok)
	if ok, err := i.IDMapSupported("/proc/self"); err != nil || ok {
		t.Errorf("procfs: got %v, %v; it has no idmapped mounts", ok, err)
	}
	if _, err := i.IDMapSupported("/does/not/exist"); err == nil {
		t.Error("a missing directory gives no error")
	}
}
