package ocispec

import (
	"fmt"
	"math"
	"path"
	"slices"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultPath is what a process finds programs in when neither image nor
// request say so.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// terminal is the TERM of a process with a terminal when nobody sets one: what kubectl's users have.
const terminal = "xterm"

// process sets what runs, in which environment, within which limits.
func (b *builder) process() error {
	p := b.s.Process
	args, err := b.args()
	if err != nil {
		return err
	}
	p.Args = args
	if p.Env, err = b.env(p.Env); err != nil {
		return err
	}
	p.Cwd = b.cwd(p.Cwd)
	p.Terminal = b.in.Config.GetTty()
	p.NoNewPrivileges = b.sc.NoNewPrivs
	b.s.Root.Readonly = b.sc.ReadonlyRootfs
	b.oomScore()
	b.rlimits()
	b.stopSignal()
	return nil
}

// args follow Kubernetes: a command replaces the image's entrypoint and makes
// its command void; arguments alone replace the image's command.
func (b *builder) args() ([]string, error) {
	command, args := b.in.Config.GetCommand(), b.in.Config.GetArgs()
	image := b.in.Image.Config
	if len(command) == 0 {
		command = image.Entrypoint
		if len(args) == 0 {
			args = image.Cmd
		}
	}
	all := slices.Concat(command, args)
	if len(all) == 0 {
		return nil, fmt.Errorf("neither the request nor image %q says what to run; set command: %w", b.in.Image.Name, errdefs.ErrInvalidArgument)
	}
	return all, nil
}

// env merges, later ones winning: a default PATH, the base spec's, HOSTNAME,
// the image's, the request's. TERM comes only where nobody sets it. HOME is left to the OCI runtime where
// nobody sets it: inside the container the runtime sees the /etc/passwd that processes see, which
// a mount may have brought.
func (b *builder) env(base []string) ([]string, error) {
	e := newEnvironment(len(base) + len(b.in.Image.Config.Env) + len(b.in.Config.GetEnvs()))
	e.set("PATH", defaultPath)
	e.add(base...)
	hostname, err := b.hostname()
	if err != nil {
		return nil, err
	}
	e.set("HOSTNAME", hostname)
	e.add(b.in.Image.Config.Env...)
	for _, kv := range b.in.Config.GetEnvs() {
		if !utf8.Valid(kv.GetValue()) {
			b.warn("The value of environment variable %s is not UTF-8; the OCI specification cannot carry it unchanged.", kv.GetKey())
		}
		// As for containerd and CRI-O, the name ends at the first "=".
		e.add(kv.GetKey() + "=" + string(kv.GetValue()))
	}
	if b.in.Config.GetTty() {
		e.setDefault("TERM", terminal)
	}
	return e.list, nil
}

// hostname is the pod's, or the node's for pods that share its network.
func (b *builder) hostname() (string, error) {
	if h := b.in.Sandbox.Config.GetHostname(); h != "" {
		return h, nil
	}
	h, err := b.fs.Hostname()
	if err != nil {
		return "", fmt.Errorf("asking for the node's hostname: %w", err)
	}
	return h, nil
}

// cwd is the request's directory, the image's, the base spec's, or "/".
// Images may say "app" and mean "/app".
func (b *builder) cwd(base string) string {
	for _, dir := range []string{b.in.Config.GetWorkingDir(), b.in.Image.Config.WorkingDir, base} {
		if dir != "" {
			return path.Join("/", dir)
		}
	}
	return "/"
}

// oomScore sets the score even when the request has none, lest the container
// inherits the daemon's, which is often low.
func (b *builder) oomScore() {
	adj := int(b.in.Config.GetLinux().GetResources().GetOomScoreAdj())
	if h := b.in.Host; adj < h.OOMScoreAdj && !h.CanRaiseLimits() {
		b.warn("oom_score_adj is %d instead of %d: without CAP_SYS_RESOURCE it cannot be lower than the daemon's.", h.OOMScoreAdj, adj)
		adj = h.OOMScoreAdj
	}
	b.s.Process.OOMScoreAdj = &adj
}

// rlimits are the node's defaults in place of the base spec's of the same
// name, none above what this process may hand on.
func (b *builder) rlimits() {
	limits := slices.Clone(b.s.Process.Rlimits)
	for _, d := range b.in.Defaults.Ulimits {
		limits = slices.DeleteFunc(limits, func(l specs.POSIXRlimit) bool { return l.Type == d.Type })
		limits = append(limits, d)
	}
	for i := range limits {
		b.clamp(&limits[i])
	}
	b.s.Process.Rlimits = limits
}

// clamp lowers a limit that setrlimit(2) would refuse with EPERM.
func (b *builder) clamp(l *specs.POSIXRlimit) {
	own, known := b.in.Host.Rlimits[l.Type]
	if known && l.Hard > own.Hard && !b.in.Host.CanRaiseLimits() {
		b.warn("%s is %s instead of %s: without CAP_SYS_RESOURCE it cannot be above the daemon's.", l.Type, limit(own.Hard), limit(l.Hard))
		l.Hard = own.Hard
	}
	l.Soft = min(l.Soft, l.Hard)
}

func limit(v uint64) string {
	if v == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprint(v)
}
