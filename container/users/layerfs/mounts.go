package layerfs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
)

// Open is a view over the mounts of a snapshot (Snapshotter.Mounts). It
// understands one overlay mount or one bind mount; anything else is
// errdefs.ErrNotImplemented.
func Open(mounts []mount.Mount) (*FS, error) {
	dirs, err := layerDirs(mounts)
	if err != nil {
		return nil, err
	}
	return OpenDirs(dirs...)
}

// layerDirs are the directories behind mounts, topmost first.
func layerDirs(mounts []mount.Mount) ([]string, error) {
	if len(mounts) != 1 {
		return nil, fmt.Errorf("a snapshot of %d mounts cannot be read unmounted: %w", len(mounts), errdefs.ErrNotImplemented)
	}
	m := mounts[0]
	switch {
	case m.Type == "overlay":
		return overlayDirs(m.Options)
	case m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind"):
		return []string{m.Source}, nil
	}
	return nil, fmt.Errorf("a snapshot of type %q cannot be read unmounted: %w", m.Type, errdefs.ErrNotImplemented)
}

// overlayDirs are the directories of an overlay mount, topmost first.
func overlayDirs(options []string) ([]string, error) {
	var upper string
	var lower []string
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "upperdir":
			upper = unescape(value)
		case "lowerdir":
			lower = splitLower(value)
		case "lowerdir+", "datadir+", "redirect_dir", "metacopy", "verity":
			if value != "off" && value != "nofollow" {
				return nil, fmt.Errorf("an overlay with option %s cannot be read unmounted: %w", o, errdefs.ErrNotImplemented)
			}
		}
	}
	if slices.Contains(lower, "") {
		return nil, fmt.Errorf("an overlay with data-only layers cannot be read unmounted: %w", errdefs.ErrNotImplemented)
	}
	dirs := lower
	if upper != "" {
		dirs = append([]string{upper}, lower...)
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("an overlay mount has neither lowerdir nor upperdir: %w", errdefs.ErrInvalidArgument)
	}
	return dirs, nil
}

// splitLower splits lowerdir at its colons; overlayfs lets a backslash escape one.
func splitLower(value string) []string {
	var dirs []string
	start := 0
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case ':':
			dirs = append(dirs, unescape(value[start:i]))
			start = i + 1
		}
	}
	return append(dirs, unescape(value[start:]))
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
