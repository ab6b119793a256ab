package ocispec

// Prepare does on the host what the spec relies on: it loads the default AppArmor profile, makes
// the directories of missing bind sources, and labels paths for SELinux. To be called last before the
// container counts as created, with Output.Volumes made. It may be repeated.
func (o *Output) Prepare() error {
	if o.LoadAppArmor != "" {
		if err := LoadAppArmorProfile(o.LoadAppArmor); err != nil {
			return err
		}
	}
	for _, dir := range o.Directories {
		if err := makeSource(dir); err != nil {
			return err
		}
	}
	for _, path := range o.Relabel {
		if err := Relabel(path, o.MountLabel); err != nil {
			return err
		}
	}
	return nil
}
