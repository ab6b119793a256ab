package layerfs

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may take, as in the kernel.
const maxLinks = 40

// walker resolves one path from the root of the view.
type walker struct {
	root *dir
	// stack are the directories from the root's child down to the current
	// one; ".." goes up in it and never above the root.
	stack []*dir
	links int
}

func (w *walker) close() {
	for _, d := range w.stack {
		d.close()
	}
	w.stack = nil
}

func (w *walker) current() *dir {
	if len(w.stack) == 0 {
		return w.root
	}
	return w.stack[len(w.stack)-1]
}

// walk resolves path. The node is valid until close.
func (w *walker) walk(path string) (*node, error) {
	rest := strings.Split(path, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			w.up()
			continue
		}
		n, err := w.current().lookup(name)
		if err != nil {
			return nil, err
		}
		switch {
		case n.isDir():
			w.stack = append(w.stack, n.merged)
		case n.isLink():
			target, err := w.follow(n)
			if err != nil {
				return nil, err
			}
			rest = append(strings.Split(target, "/"), rest...)
		case len(rest) > 0:
			return nil, classify(unix.ENOTDIR)
		default:
			return n, nil
		}
	}
	return &node{merged: w.current()}, nil
}

func (w *walker) up() {
	if len(w.stack) > 0 {
		w.current().close()
		w.stack = w.stack[:len(w.stack)-1]
	}
}

// follow answers a link's target and goes back to the root for an absolute one.
func (w *walker) follow(n *node) (string, error) {
	if w.links++; w.links > maxLinks {
		return "", fmt.Errorf("more than %d symbolic links: %w", maxLinks, errdefs.ErrInvalidArgument)
	}
	target, err := n.readlink()
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(target, "/") {
		w.close()
	}
	return target, nil
}
