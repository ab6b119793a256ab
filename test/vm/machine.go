package vm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// commandLine is the kernel's. psi: Debian's kernel keeps no pressure figures otherwise.
// The rest saves time under emulation, and ends the machine when the kernel is in trouble.
const commandLine = "console=ttyS0 loglevel=4 psi=1 cgroup_no_v1=all random.trust_cpu=on " +
	"mitigations=off nowatchdog no_timer_check panic=-1 oops=panic"

// outcome is what a machine has said of its tests.
type outcome struct {
	booted, ended time.Duration // by its own clock
	code          int
}

var (
	saysBooted = regexp.MustCompile(`^berth-vm: booted after ([0-9.]+) s`)
	saysEnded  = regexp.MustCompile(`^berth-vm: ended after ([0-9.]+) s with (\d+)`)
)

// boot runs a machine to its end, or to that of ctx. Every line of its console goes to console.
// env becomes part of the environment of its first process.
func boot(ctx context.Context, b built, env []string, console func(line string)) (outcome, error) {
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "2G",
		"-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-drive", "file="+b.disk+",format=raw,if=virtio,cache=unsafe",
		"-drive", "file="+b.swap+",format=raw,if=virtio,cache=unsafe",
		"-kernel", b.kernel, "-initrd", b.initramfs,
		"-append", strings.Join(append([]string{commandLine}, env...), " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return outcome{}, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return outcome{}, err
	}
	o, readErr := follow(out, console)
	err = errors.Join(readErr, cmd.Wait())
	if ctx.Err() != nil {
		err = fmt.Errorf("the machine was ended: %w", ctx.Err())
	}
	if err == nil && o.ended == 0 {
		err = errors.New("the machine ended without saying how its tests went; the end of its console tells why")
	}
	return o, err
}

// follow reads the console to its end.
func follow(out io.Reader, console func(line string)) (outcome, error) {
	var o outcome
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		console(line)
		if m := saysBooted.FindStringSubmatch(line); m != nil {
			o.booted = seconds(m[1])
		}
		if m := saysEnded.FindStringSubmatch(line); m != nil {
			o.ended = seconds(m[1])
			o.code, _ = strconv.Atoi(m[2])
		}
	}
	return o, lines.Err()
}

func seconds(s string) time.Duration {
	f, _ := strconv.ParseFloat(s, 64)
	return time.Duration(f * float64(time.Second))
}
