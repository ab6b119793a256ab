package cni

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// confWith configures the test network with a second plugin.
func (h *host) confWith(plugin string) {
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"`+plugin+`"}`))
}

// TestMissingPlugin: a list with a plugin that is not there is refused before anything is done, and correcting the list
// is enough.
func TestMissingPlugin(t *testing.T) {
	h := newHost(t)
	h.confWith("nosuch")
	m := h.manager()
	att := h.pod()
	for range 3 {
		_, err := m.Attach(context.Background(), att)
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), `"nosuch"`) || errors.Is(err, ErrLeftBehind) {
			t.Fatalf("Attach: %v", err)
		}
	}
	if ips, _ := filepath.Glob(h.dir + "/ipam/testnet/10.*"); len(ips) != 0 {
		t.Errorf("addresses are taken: %v", ips)
	}
	h.conf("10.conflist", h.bridgeConf("1.0.0", ""))
	m = h.manager()
	h.attach(m, att)
	h.detach(m, att)
}

// TestPluginGoneForGood: when a plugin is gone at DEL, all others give back what they hold; what is owed is that one
// plugin, since then, for a later daemon too; and it can be given up.
func TestPluginGoneForGood(t *testing.T) {
	h := newHost(t)
	h.fake("mortal", pass)
	h.confWith("mortal")
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	if err := os.Remove(filepath.Join(h.dir, "fakes", "mortal")); err != nil {
		t.Fatal(err)
	}
	if err := m.Detach(context.Background(), att); err == nil || !strings.Contains(err.Error(), "mortal") {
		t.Fatalf("Detach: %v", err)
	}
	if ips, _ := filepath.Glob(h.dir + "/ipam/testnet/10.*"); len(ips) != 0 {
		t.Errorf("addresses are kept: %v", ips)
	}
	first, err := m.Debt(att.PodID)
	if err != nil || len(first.Plugins) != 1 || first.Plugins[0] != "testnet/mortal" || time.Since(first.Since) > time.Minute {
		t.Errorf("owed: %+v, %v", first, err)
	}
	later := h.manager()
	if err := later.Detach(context.Background(), att); err == nil {
		t.Error("Detach without the plugin succeeded")
	}
	if again, err := later.Debt(att.PodID); err != nil || !again.Since.Equal(first.Since) || len(again.Plugins) != 1 {
		t.Errorf("owed after a restart: %+v, %v", again, err)
	}
	left, err := later.GiveUp(context.Background(), att.PodID)
	if err != nil || len(left.Plugins) != 1 {
		t.Errorf("GiveUp: %+v, %v", left, err)
	}
	if err := later.Detach(context.Background(), att); err != nil {
		t.Errorf("Detach after GiveUp: %v", err)
	}
	if err := h.manager().GC(context.Background(), nil); err != nil {
		t.Errorf("GC after GiveUp: %v", err)
	}
}

// TestGiveUpBehindAFailure: a plugin that fails keeps the plugins before it from their DEL, and all of them are owed. The
// last attempt goes past it: the address goes back, and only what the failing plugin holds stays.
func TestGiveUpBehindAFailure(t *testing.T) {
	h := newHost(t)
	h.fake("stubborn", `[ $CNI_COMMAND = DEL ] && exit 3; `+pass)
	h.confWith("stubborn")
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	addresses := func() int {
		ips, _ := filepath.Glob(h.dir + "/ipam/testnet/10.*")
		return len(ips)
	}
	if err := m.Detach(context.Background(), att); err == nil || addresses() != 1 {
		t.Fatalf("Detach: %v, with %d addresses left", err, addresses())
	}
	if owed, err := m.Debt(att.PodID); err != nil || !slices.Equal(owed.Plugins, []string{"testnet/bridge", "testnet/stubborn"}) {
		t.Errorf("owed: %+v, %v", owed, err)
	}
	left, err := m.GiveUp(context.Background(), att.PodID)
	if err != nil || !slices.Equal(left.Plugins, []string{"testnet/stubborn"}) {
		t.Errorf("GiveUp: %+v, %v", left, err)
	}
	if n := addresses(); n != 0 {
		t.Errorf("%d addresses are kept", n)
	}
	if _, err := m.Debt(att.PodID); !errdefs.IsNotFound(err) {
		t.Errorf("a DEL is owed: %v", err)
	}
}

// TestGiveUpOfAMendedPlugin: a plugin that works again at the last attempt gives back what it holds, and nothing stays.
func TestGiveUpOfAMendedPlugin(t *testing.T) {
	h := newHost(t)
	h.fake("stubborn", `[ $CNI_COMMAND = DEL ] && exit 3; `+pass)
	h.confWith("stubborn")
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	if err := m.Detach(context.Background(), att); err == nil {
		t.Fatal("Detach succeeded")
	}
	undone := filepath.Join(h.dir, "undone")
	h.fake("stubborn", `touch `+undone)
	if left, err := m.GiveUp(context.Background(), att.PodID); err != nil || len(left.Plugins) != 0 {
		t.Errorf("GiveUp: %+v, %v", left, err)
	}
	if _, err := os.Stat(undone); err != nil {
		t.Errorf("the plugin was not run: %v", err)
	}
}

// TestIsGone: only a plugin that no later attempt can start lets the DELs before it go on.
func TestIsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"not found":            {&PluginError{Stage: StageLookup, Err: errdefs.ErrFailedPrecondition}, true},
		"no configuration":     {errors.New("configuration"), true},
		"no program":           {&PluginError{Stage: StageStart, Err: syscall.ENOEXEC}, true},
		"not executable":       {&PluginError{Stage: StageStart, Err: &os.PathError{Err: syscall.EACCES}}, true},
		"removed meanwhile":    {&PluginError{Stage: StageStart, Err: &os.PathError{Err: syscall.ENOENT}}, true},
		"no process left":      {&PluginError{Stage: StageStart, Err: syscall.EAGAIN}, false},
		"being written":        {&PluginError{Stage: StageStart, Err: syscall.ETXTBSY}, false},
		"failed":               {&PluginError{Stage: StageRunning, Err: errors.New("exit status 3")}, false},
		"missed a file it had": {&PluginError{Stage: StageRunning, Err: os.ErrNotExist}, false},
	} {
		if got := isGone(tc.err); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestPluginThatNeverRan: a plugin that is gone and whose ADD had not begun owes nothing.
func TestPluginThatNeverRan(t *testing.T) {
	h := newHost(t)
	h.fake("first", `[ $CNI_COMMAND = DEL ] || exit 3`)
	h.fake("second", pass)
	h.conf("10.conflist", h.bridgeConf("1.0.0", `,{"type":"first"},{"type":"second"}`))
	m := h.manager()
	att := h.pod()
	h.fake("first", `[ $CNI_COMMAND = DEL ] || { rm `+filepath.Join(h.dir, "fakes", "second")+`; exit 3; }`)
	if _, err := m.Attach(context.Background(), att); err == nil || errors.Is(err, ErrLeftBehind) {
		t.Errorf("Attach: %v", err)
	}
	if _, err := m.Debt(att.PodID); !errdefs.IsNotFound(err) {
		t.Errorf("a DEL is owed: %v", err)
	}
}

// TestRecordOfAnEarlierBuild does not say which plugins were run: then all are owed a DEL.
func TestRecordOfAnEarlierBuild(t *testing.T) {
	h := newHost(t)
	h.fake("mortal", pass)
	h.confWith("mortal")
	m := h.manager()
	att := h.pod()
	h.attach(m, att)
	raw, err := os.ReadFile(m.recordPath(att.PodID))
	if err != nil {
		t.Fatal(err)
	}
	old := strings.ReplaceAll(string(raw), `"Begun":2`, `"Old":2`)
	if old == string(raw) {
		t.Fatalf("the record does not say how many plugins were run: %s", raw)
	}
	if err := os.WriteFile(m.recordPath(att.PodID), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := m.Debt(att.PodID); err != nil || len(d.Plugins) != 2 {
		t.Errorf("owed: %+v, %v", d, err)
	}
	h.detach(h.manager(), att)
}
