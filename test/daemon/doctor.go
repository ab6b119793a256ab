package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/berth-run/berth/internal/doctor"
)

// Doctor runs berthd doctor with the daemon's configuration and returns what it finds.
// With fix, everything found is to be removed.
func (d *Daemon) Doctor(ctx context.Context, fix bool) ([]doctor.Finding, error) {
	args := append([]string{"doctor", "--output", "json"}, d.args()...)
	if fix {
		args = append(args, "--fix")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.BinDir, "berthd"), args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var found []doctor.Finding
	if jerr := json.Unmarshal(out.Bytes(), &found); jerr != nil {
		return nil, fmt.Errorf("berthd doctor: %w: %s", err, problems.Bytes())
	}
	if err != nil && (fix || len(found) == 0) {
		return found, fmt.Errorf("berthd doctor: %w: %s", err, problems.Bytes())
	}
	return found, nil
}
