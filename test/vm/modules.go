package vm

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// bootModules find the disk.
var bootModules = []string{"virtio_pci", "virtio_blk"}

// guestModules are what Berth, the CNI plugins and nft need. The kernel would ask
// modprobe(8) for most of them; loading them all spares the guest that.
var guestModules = []string{
	"overlay", "veth", "bridge", "br_netfilter", "dummy",
	"nf_tables", "nf_conntrack_netlink", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir",
	"nft_ct", "nft_fib_inet", "nft_reject_inet", "nft_limit", "nft_log", "nft_hash", "nft_numgen", "nft_objref",
}

// moduleIndex finds the files of modules by name.
type moduleIndex map[string]string

func indexModules(dir string) (moduleIndex, error) {
	index := moduleIndex{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			index[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	return index, err
}

// inOrder lists the files of modules and of what they depend on, each after its
// dependencies. Debian's package has no modules.dep: depmod makes it at installation.
func (index moduleIndex) inOrder(names []string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		file, ok := index[name]
		if !ok {
			return fmt.Errorf("the kernel has no module %s", name)
		}
		depends, err := moduleDepends(file)
		if err != nil {
			return err
		}
		for _, d := range depends {
			if err := add(strings.ReplaceAll(d, "-", "_")); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// moduleDepends reads the names of the modules that one needs out of its file.
func moduleDepends(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", file, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("module %s has no .modinfo", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", file, err)
	}
	for _, field := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
