package images

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Root is the top of Berth's source tree, looked for from the working directory
// upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/berth-run/berth\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is not inside Berth's source tree")
		}
		dir = parent
	}
}

// busyboxPath returns the path of a busybox for images, building one when there is
// none yet (a minute or two, and the network: the Makefile does it beforehand).
func busyboxPath(root string) (string, error) {
	path := filepath.Join(root, "build", "busybox")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := exec.Command(filepath.Join(root, "test/images/busybox/build.sh"), path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building busybox: %w: %s", err, out)
	}
	return path, nil
}

// buildTestprog compiles testprog and returns its content.
func buildTestprog(root string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "berth-testprog-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "testprog")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", path, "./test/images/testprog")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building testprog: %w: %s", err, out)
	}
	return os.ReadFile(path)
}

// applets lists what a busybox can do.
func applets(busybox string) ([]string, error) {
	out, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("listing the applets of %s: %w", busybox, err)
	}
	return strings.Fields(string(out)), nil
}
