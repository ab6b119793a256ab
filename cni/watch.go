package cni

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// settle is how long events are collected before the directory is read: an installer writes
// several files, or one in several steps.
const settle = 20 * time.Millisecond

// Run follows the configuration directory and asks the plugins for their STATUS until ctx
// is done. It returns nil then; what goes wrong meanwhile is in Status.
func (m *Manager) Run(ctx context.Context) error {
	w := newWatch(ctx)
	defer w.close()
	w.follow(m.watchPaths)
	m.reload()

	tick := time.NewTicker(m.opts.StatusInterval)
	defer tick.Stop()
	settled := time.NewTimer(0)
	defer settled.Stop()
	<-settled.C
	probed := m.startProbe(ctx, nil)
	again := false // the configuration changed while a probe ran
	for {
		select {
		case <-ctx.Done():
			if probed != nil {
				<-probed
			}
			return nil
		case <-w.events:
			settled.Reset(settle)
		case <-settled.C:
			w.follow(m.watchPaths)
			before := m.current.Load().fingerprint
			m.reload()
			if m.current.Load().fingerprint != before {
				again = probed != nil
				probed = m.startProbe(ctx, probed)
			}
		case <-m.changed:
			again = probed != nil
			probed = m.startProbe(ctx, probed)
		case <-tick.C:
			w.follow(m.watchPaths)
			m.reload()
			probed = m.startProbe(ctx, probed)
		case <-probed:
			probed = nil
			if again {
				again, probed = false, m.startProbe(ctx, nil)
			}
		}
	}
}

// startProbe begins a STATUS round unless one is under way; the channel closes when it is done.
func (m *Manager) startProbe(ctx context.Context, running chan struct{}) chan struct{} {
	if running != nil {
		return running
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.probe(ctx)
	}()
	return done
}

// watchPaths are the directories whose changes matter: the configuration directory, what a
// symlink there points to, their parents (or the nearest ancestor that exists), in which they may be
// created or replaced, and the plugins' directories.
func (m *Manager) watchPaths() []string {
	paths := []string{m.opts.ConfDir, ancestor(m.opts.ConfDir)}
	if real, err := filepath.EvalSymlinks(m.opts.ConfDir); err == nil && real != m.opts.ConfDir {
		paths = append(paths, ancestor(real))
	} else if target, err := os.Readlink(m.opts.ConfDir); err == nil { // dangling
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(m.opts.ConfDir), target)
		}
		paths = append(paths, ancestor(target))
	}
	return append(paths, m.opts.BinDirs...)
}

// ancestor is the nearest directory above path that exists.
func ancestor(path string) string {
	for {
		path = filepath.Dir(path)
		if _, err := os.Stat(path); err == nil || path == "/" {
			return path
		}
	}
}

// watch keeps inotify watches on directories that come, go and are replaced.
type watch struct {
	ctx     context.Context
	watcher *fsnotify.Watcher // nil where inotify is exhausted
	// events gets a token when anything changed.
	events chan struct{}
	// inodes tells a directory from its replacement of the same name.
	inodes map[string]inode
}

type inode struct{ dev, ino uint64 }

func newWatch(ctx context.Context) *watch {
	w := &watch{ctx: ctx, events: make(chan struct{}, 1), inodes: map[string]inode{}}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		klog.FromContext(ctx).Error(err, "CNI configuration is only rescanned, not watched")
		return w
	}
	w.watcher = watcher
	go w.collect()
	return w
}

// collect turns events into tokens. Also an error (an overflow) means: look again.
func (w *watch) collect() {
	for {
		select {
		case ev, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			if ev.Op == fsnotify.Chmod {
				continue
			}
		case _, ok := <-w.watcher.Errors:
			if !ok {
				return
			}
		}
		select {
		case w.events <- struct{}{}:
		default:
		}
	}
}

// follow watches exactly the directories that paths names, as they are now. It looks again after
// the watches are set, because a directory made in between would not be announced.
func (w *watch) follow(paths func() []string) {
	if w.watcher == nil {
		return
	}
	want := inodesOf(paths())
	for range 10 { // somebody who replaces directories faster than that is met by the next event
		w.set(want)
		again := inodesOf(paths())
		if maps.Equal(again, want) {
			return
		}
		want = again
	}
}

// inodesOf looks up the directories that exist.
func inodesOf(paths []string) map[string]inode {
	inodes := map[string]inode{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inodes[path] = inode{dev: st.Dev, ino: st.Ino}
		}
	}
	return inodes
}

func (w *watch) set(want map[string]inode) {
	for path, old := range w.inodes {
		if want[path] != old {
			_ = w.watcher.Remove(path) // gone already when the directory is
			delete(w.inodes, path)
		}
	}
	for path, id := range want {
		if _, ok := w.inodes[path]; ok {
			continue
		}
		if err := w.watcher.Add(path); err != nil {
			klog.FromContext(w.ctx).Error(err, "Directory is only rescanned, not watched", "path", path)
			continue
		}
		w.inodes[path] = id
	}
}

func (w *watch) close() {
	if w.watcher != nil {
		w.watcher.Close()
	}
}
