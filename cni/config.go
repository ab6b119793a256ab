package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
)

// maxConfigSize bounds a configuration file, in bytes.
const maxConfigSize = 1 << 20

// network is one usable network. It is never changed once published.
type network struct {
	list      *libcni.NetworkConfigList
	file      string // "" for the built-in one
	builtin   bool
	needsTool string // program the built-in network's backend runs
}

// loaded is what the configuration directory holds.
type loaded struct {
	networks []*network
	skipped  []SkippedFile
	err      error // the directory cannot be read
}

// loadDir takes the lexically first max usable files. A missing directory is an empty one.
func loadDir(dir string, max int) loaded {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return loaded{}
	}
	if err != nil {
		return loaded{err: err}
	}
	var l loaded
	for _, e := range entries { // sorted by name
		if e.IsDir() || !slices.Contains([]string{".conflist", ".conf", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		if len(l.networks) == max {
			break
		}
		file := filepath.Join(dir, e.Name())
		n, err := loadFile(file)
		if err == nil && slices.ContainsFunc(l.networks, func(o *network) bool { return o.list.Name == n.list.Name }) {
			err = fmt.Errorf("another file defines network %q already", n.list.Name)
		}
		if err != nil {
			l.skipped = append(l.skipped, SkippedFile{File: file, Reason: err.Error()})
			continue
		}
		l.networks = append(l.networks, n)
	}
	return l
}

func loadFile(file string) (*network, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfigSize {
		return nil, fmt.Errorf("larger than %d bytes", maxConfigSize)
	}
	list, err := parseConfig(data, strings.HasSuffix(file, ".conflist"))
	if err != nil {
		return nil, err
	}
	if !list.LoadOnlyInlinedPlugins {
		if err := addSidePlugins(list, filepath.Dir(file)); err != nil {
			return nil, err
		}
	}
	if len(list.Plugins) == 0 {
		return nil, errors.New("no plugins")
	}
	return &network{list: list, file: file}, nil
}

// parseConfig reads a configuration list, or a single plugin's configuration (deprecated, still
// common) as a list of one. A file of either kind is recognised by its content where the name
// leaves it open.
func parseConfig(data []byte, isList bool) (*libcni.NetworkConfigList, error) {
	var list *libcni.NetworkConfigList
	var err error
	if isList || hasPlugins(data) {
		list, err = libcni.NetworkConfFromBytes(data)
	} else {
		var single *libcni.PluginConfig
		if single, err = libcni.NetworkPluginConfFromBytes(data); err == nil {
			list, err = libcni.ConfListFromConf(single)
		}
	}
	if err != nil {
		return nil, err
	}
	if list.CNIVersion == "" {
		list.CNIVersion = "0.1.0" // the specification's meaning of no version
	}
	return list, checkList(list)
}

func hasPlugins(data []byte) bool {
	var probe struct {
		Plugins json.RawMessage `json:"plugins"`
	}
	return json.Unmarshal(data, &probe) == nil && probe.Plugins != nil
}

func checkList(list *libcni.NetworkConfigList) error {
	if err := utils.ValidateNetworkName(list.Name); err != nil {
		return err
	}
	if !slices.Contains(version.All.SupportedVersions(), list.CNIVersion) {
		return fmt.Errorf("cniVersion %q is none of %v", list.CNIVersion, version.All.SupportedVersions())
	}
	for _, p := range list.Plugins {
		for _, name := range []string{p.Network.Type, p.Network.IPAM.Type} {
			if strings.ContainsRune(name, '/') {
				return fmt.Errorf("plugin type %q has a slash", name)
			}
		}
	}
	return nil
}

// addSidePlugins appends the plugins that other packages put into <dir>/<network>/ (CNI 1.1), and
// writes them into the list's bytes: those are what the result cache keeps for DEL.
func addSidePlugins(list *libcni.NetworkConfigList, dir string) error {
	side, err := libcni.NetworkPluginConfsFromFiles(dir, list.Name)
	if err != nil || len(side) == 0 {
		return err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(list.Bytes, &raw); err != nil {
		return err
	}
	list.Plugins = append(list.Plugins, side...)
	var plugins []json.RawMessage
	for _, p := range list.Plugins {
		plugins = append(plugins, p.Bytes)
	}
	if raw["plugins"], err = json.Marshal(plugins); err != nil {
		return err
	}
	raw["loadOnlyInlinedPlugins"] = json.RawMessage("true")
	list.LoadOnlyInlinedPlugins = true
	if list.Bytes, err = json.Marshal(raw); err != nil {
		return err
	}
	return checkList(list)
}

// pluginTypes lists the binaries a network needs, IPAM plugins included.
func (n *network) pluginTypes() []string {
	var types []string
	for _, p := range n.list.Plugins {
		for _, name := range []string{p.Network.Type, p.Network.IPAM.Type} {
			if name != "" && !slices.Contains(types, name) {
				types = append(types, name)
			}
		}
	}
	return types
}

// source names the network's origin in messages.
func (n *network) source() string {
	if n.builtin {
		return "built in"
	}
	return n.file
}
