package content

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/test/images"
)

// The smallest programs that do their work, in C: what the runtime of another language
// does before main would be measured along with every ExecSync, and the memory of a pause
// that is larger than Kubernetes' own would be counted against the peer.
const (
	sourceTrue  = `int main(void) { return 0; }`
	sourcePause = `
#include <signal.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
int main(void) {
	signal(SIGTERM, end);
	signal(SIGINT, end);
	for (;;) pause();
}`
)

// compile makes a static program of C source.
func compile(source string) ([]byte, error) {
	return program(func(path string) *exec.Cmd {
		cmd := exec.Command("gcc", "-O2", "-static", "-s", "-x", "c", "-o", path, "-")
		cmd.Stdin = strings.NewReader(source)
		return cmd
	})
}

// buildWorkload compiles the package workload.
func buildWorkload() ([]byte, error) {
	root, err := images.Root()
	if err != nil {
		return nil, err
	}
	return program(func(path string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", path, "./test/bench/workload")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return cmd
	})
}

// program runs a compiler, which is told the path of its output, and returns that.
func program(compiler func(path string) *exec.Cmd) ([]byte, error) {
	dir, err := os.MkdirTemp("", "bench-program-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "program")
	cmd := compiler(path)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return os.ReadFile(path)
}
