package ociruntime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
)

// FuzzState reads any state file of runc: only one without hooks and RDT groups, whose cgroups runc made,
// is for Berth to take apart.
func FuzzState(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `[]`, `{"cgroup_paths":{"":"/sys/fs/cgroup/a"}}`, `{"cgroup_paths":{"memory":"/x"},"intel_rdt_path":"/sys/fs/resctrl/a"}`,
		`{"cgroup_paths":{"memory":"/x"},"config":{"Hooks":{"prestart":[{}]}}}`, `{"cgroup_paths":{"memory":"/x"},"config":{"cgroups":{"Systemd":true}}}`,
		`{"cgroup_paths":{"memory":"/x","intel_rdt_path":"/sys/fs/resctrl/a"}}`,
	} {
		f.Add([]byte(s))
	}
	file := filepath.Join(f.TempDir(), stateFile)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		paths, plain := readState(file)
		var rdt struct {
			Path string `json:"intel_rdt_path"`
		}
		if err := json.Unmarshal(text, &rdt); plain && (err != nil || len(paths) == 0 || rdt.Path != "") {
			t.Errorf("%q is plain, with %v", text, paths)
		}
	})
}

// FuzzLog finds the last error in any log of the runtime, and reads any PID file.
func FuzzLog(f *testing.F) {
	for _, s := range []string{
		"", "12", "-1\n", `{"level":"error","msg":"exec failed"}` + "\n", `{"level":"warning"}{"level":"error","msg":" x "}` + "\n{", `{"level":1}`, "[[[[",
	} {
		f.Add([]byte(s), int64(0))
	}
	file := filepath.Join(f.TempDir(), "log.json")
	f.Fuzz(func(t *testing.T, text []byte, offset int64) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastError(file, offset); len(got) > 3*len(text) {
			t.Errorf("%q has the error %q", text, got)
		}
		if pid, err := readPID(file); (err == nil && pid <= 0) || (err != nil && !errdefs.IsDataLoss(err)) {
			t.Errorf("%q is PID %d, %v", text, pid, err)
		}
	})
}
